//! A flight recorder for async Rust: runs the handlers and jobs of a long-running program and keeps a durable,
//! queryable row for every execution.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use command_executor::{CommandExecutor, Event, History, SqliteHistory, SqliteStore, Window};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # std::env::set_current_dir(&directory)?;
//! let store = SqliteStore::open("telemetry.db").await?;
//! let executor = CommandExecutor::builder(store).start().await?;
//!
//! let motion = executor
//!     .listener("lights", "hall_motion")
//!     .topic("motion.hall")
//!     .timeout(Duration::from_secs(10))
//!     .handler(|event: Arc<Event>| async move {
//!         let lux: u32 = event.try_payload::<&str>()?.parse()?; // `?` works on any error
//!         println!("{}: {lux} lux", event.topic);
//!         Ok(())
//!     })
//!     .register()
//!     .await?;
//!
//! for lux in ["40", "dark"] {
//!     let event = Event::new("motion.hall").with_payload(lux);
//!     let result = executor.execute(motion.invoke(event)).await?;
//!     println!("{} after {:?}", result.status().as_str(), result.duration);
//! }
//!
//! let report = executor.shutdown(Duration::from_secs(5)).await; // writes what waits
//! assert_eq!(report.ledger.stored, 2);
//!
//! let history = SqliteHistory::new("telemetry.db")?;
//! let all = history.overall(Window::default()).await?;
//! println!("{} runs, last error: {:?}", all.runs(), all.last_error);
//! # assert_eq!(all.runs(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Which method to use
//!
//! | you want to | call |
//! |---|---|
//! | run something and await its outcome here | [`execute`](CommandExecutor::execute) |
//! | the same, and be able to cancel it | [`execute_until`](CommandExecutor::execute_until) |
//! | run it in the background, in the order of the calls | [`submit`](CommandExecutor::submit) |
//! | send an event to every listener with a matching topic pattern | [`publish`](CommandExecutor::publish) |
//! | run a future of your own as an execution and get its value | [`JobHandle::wrap`], [`ListenerHandle::wrap`] |
//! | set a handler that returns `Result<(), HandlerError>`, so that plain `?` compiles | `handler` |
//! | set a function that returns nothing, or a result with your own error | `handler_fn` |
//! | set a function that blocks its thread | `blocking_handler` |
//! | register without a handler, for `wrap` only | `for_wrapping` |
//! | wait until everything so far is stored | [`flush`](CommandExecutor::flush) |
//! | wait until it survives a power cut | [`synced`](CommandExecutor::synced) |
//!
//! # Where records wait
//!
//! A record waits in a spool beside its database until it is stored, so it survives `kill -9`. While the store is
//! unavailable or full, nothing is lost up to [`Config::spool_max_bytes`]. An in-memory database (`":memory:"`) has
//! no spool: at most [`Config::queue_max`] records (1,000) wait, and a loop that never awaits anything else can
//! overflow the queue; the [`Ledger`] counts such losses, and the log reports them. Only its own store can read such
//! a database; use a file if you want to read it, or the test kit's `MemoryStore` in tests.
//!
//! # Spans and metrics
//!
//! Each handler runs in a span `execution` with the fields `execution.id`, `execution.kind`, `app.key`,
//! `app.instance`, `entity.name` and `entity.topic`; [`context::inherit`] carries it into spawned tasks. With the
//! feature `metrics` the executor publishes these metrics through the `metrics` facade every five seconds:
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `executor_executions_total` | counter | `app`, `status` |
//! | `executor_execution_duration_seconds` | histogram | `app` |
//! | `executor_records_{offered,recovered,stored,filtered}_total` | counter | |
//! | `executor_records_dropped_total` | counter | `reason` |
//! | `executor_records_{waiting,spooled,durability}` | gauge | |
//! | `executor_restarts_total` | counter | |
//! | `executor_store_available` | gauge | |
//!
//! # Tests
//!
//! The crate `executor-testkit` has an in-memory store, a store that fails on demand, a clock that follows paused
//! time and a check that the ledger balances. Its `FailingPart` makes a supervised part of the executor fail.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use executor_core::ports::{
    Evidence, Filter, History, HistoryError, HistoryErrorClass, InForce, LiveSession, LiveState,
    MissedReason, MissedRuns, Order, Orphan, PageOf, PageRequest, PageToken, Pause, Progress,
    RegistrationFilter, RegistrationState, RolledUpHour, RunningExecution, SchedulePlan, Scope,
    SessionCounts, SessionHour, SourceCounts, Stats, StoredExecution, StoredPrune,
    StoredRegistration, StoredSession, Summary, Window,
};
#[cfg(all(unix, feature = "process"))]
#[doc(inline)]
pub use executor_core::process;
#[doc(inline)]
pub use executor_core::registration::Overlap;
#[doc(inline)]
pub use executor_core::{
    BlockingPool, BorrowingFuture, Clock, Command, DropReason, Entity, EntityKind, ErrorClass,
    ErrorHandler, ErrorKind, Event, ExecuteJob, ExecutionId, ExecutionRecord, ExecutionResult,
    Failure, Handler, HandlerError, HandlerFailure, HandlerFn, HandlerFuture, HandlerOutput,
    InvokeHandler, JobHandler, LeakedThread, Ledger, Outcome, Payload, PayloadMismatch, Redact,
    Refused, SessionId, SourceTier, Status, StoreError, StoreFault, Subject, TimeoutOrigin,
    Timestamp, TopicPattern, context, current_execution_id, event, failure, guard, handler,
    identity, ledger, lines, outcome, ports, record, redact, registration, time, topic,
};
#[doc(inline)]
pub use executor_service::registration::{
    JobBuilder, JobToRegister, ListenerBuilder, ListenerToRegister,
};
#[doc(inline)]
pub use executor_service::{
    Builder, CommandExecutor, Completion, CompletionEvent, Completions, Config, Degradation,
    Durability, Health, JobHandle, ListenerHandle, Missed, NotDrained, NotSynced, Orphans,
    Published, Recording, RegisterError, Retention, Schedule, ScheduleError, ScheduleState,
    ShutdownReport, Source, SpoolError, SpoolPlace, StartError, Submitted, Wrapped, config,
    diagnosis, inspect, schedule, survive_file_size_limit,
};
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use telemetry_store::migrate;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use telemetry_store::{
    Copied, CopyEnd, CopyError, CopyProgress, CopyStage, OpenError, SqliteHistory, SqliteOptions,
    SqliteStore, copy_history,
};
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use telemetry_store::{
    PostgresHistory, PostgresMigrator, PostgresOptions, PostgresStore, ServerError,
    bring_server_up_to_date, pending_on_server,
};
pub use tokio_util::sync::CancellationToken;
