//! A flight recorder for async Rust: runs the handlers and jobs of a long-running program and
//! keeps a durable, queryable row for every single execution.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use command_executor::{CommandExecutor, Event, SqliteStore};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqliteStore::open(":memory:").await?;
//! let executor = CommandExecutor::builder(store).start().await?;
//!
//! let motion = executor
//!     .listener("lights", "hall_motion")
//!     .topic("motion.hall")
//!     .timeout(Duration::from_secs(10))
//!     .handler(|event: Arc<Event>| async move {
//!         let lux: u32 = "40".parse()?; // `?` works on any error
//!         println!("{}: {lux} lux", event.topic);
//!         Ok(())
//!     })
//!     .register()
//!     .await?;
//!
//! let result = executor.execute(motion.invoke(Event::new("motion.hall"))).await?;
//! println!("{} after {:?}", result.status().as_str(), result.duration);
//! let report = executor.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(report.ledger.stored, 1);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use executor_core::ports::{
    Filter, History, HistoryError, HistoryErrorClass, Order, PageOf, PageRequest, PageToken,
    RegistrationFilter, RegistrationState, Scope, Stats, StoredExecution, StoredRegistration,
    StoredSession, Summary, Window,
};
#[cfg(all(unix, feature = "process"))]
pub use executor_core::process;
pub use executor_core::registration::Overlap;
pub use executor_core::{
    BlockingPool, BorrowingFuture, Clock, Command, DropReason, Entity, EntityKind, ErrorClass,
    ErrorHandler, ErrorKind, Event, ExecuteJob, ExecutionId, ExecutionRecord, ExecutionResult,
    Failure, Handler, HandlerError, HandlerFailure, HandlerFn, HandlerFuture, HandlerOutput,
    InvokeHandler, JobHandler, LeakedThread, Ledger, Outcome, Payload, PayloadMismatch, Redact,
    Refused, SessionId, SourceTier, Status, StoreError, StoreFault, Subject, TimeoutOrigin,
    Timestamp, TopicPattern, context, current_execution_id, event, failure, guard, handler,
    identity, ledger, outcome, ports, record, redact, registration, time, topic,
};
pub use executor_service::registration::{
    JobBuilder, JobToRegister, ListenerBuilder, ListenerToRegister,
};
pub use executor_service::{
    Builder, CommandExecutor, Completion, CompletionEvent, Completions, Config, Degradation,
    Durability, Health, JobHandle, ListenerHandle, Missed, NotDrained, NotSynced, Published,
    Recording, RegisterError, Retention, Schedule, ScheduleError, ScheduleState, ShutdownReport,
    SpoolError, SpoolPlace, StartError, Submitted, Wrapped, config, inspect, schedule,
    survive_file_size_limit,
};
#[cfg(feature = "sqlite")]
pub use telemetry_store::{OpenError, SqliteHistory, SqliteOptions, SqliteStore};
pub use tokio_util::sync::CancellationToken;
