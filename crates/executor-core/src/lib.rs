//! Runs commands: each becomes one execution and yields one record.
//!
//! A program hands a [`Command`] to the [`Runner`]; the command runs once, ends in one [`Outcome`] and owes one
//! [`ExecutionRecord`], so the runner offers its end to a [`RecordSink`]. The layers above decide what happens to the
//! record: this crate knows nothing about queues, databases, files or serialised formats, only the [`ports`] through
//! which they reach one.
//!
//! Read the modules in the order in which this file declares them.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod time;

pub mod identity;

pub mod event;

pub mod topic;

pub mod redact;

pub mod failure;

pub mod handler;

#[cfg(all(unix, feature = "process"))]
pub mod process;

pub mod guard;

mod overlap;

pub mod handler_slot;

pub mod registration;

pub mod runnable;

pub mod command;

pub mod outcome;

pub mod record;

pub mod ledger;

pub mod lines;

pub mod context;

mod panics;

pub mod blocking;

pub mod limiter;

pub mod error_handler;

pub mod ports;

pub mod run;

pub use blocking::{BlockingPool, LeakedThread};
pub use command::{Command, ExecuteJob, InvokeHandler};
pub use context::current_execution_id;
pub use error_handler::{ErrorHandler, HandlerFailure};
pub use event::{Event, Payload, PayloadMismatch};
pub use failure::{ErrorKind, Failure, HandlerError};
pub use guard::Guard;
pub use handler::{BorrowingFuture, Handler, HandlerFn, HandlerFuture, HandlerOutput, JobHandler};
pub use identity::{Entity, EntityKind, ExecutionId, RegistrationId, RowId, SessionId, SourceTier};
pub use ledger::{DropReason, Durability, Ledger};
pub use limiter::RateLimiter;
pub use outcome::{ExecutionResult, Outcome, Refused, Status, TimeoutOrigin};
pub use ports::{
    Batch, ErrorClass, Fate, Housekeeping, RecordSink, RecordStore, RegistrationStore,
    SessionStore, StoreError, StoreFault,
};
pub use record::{ExecutionRecord, Subject, Trigger, TriggerMode};
pub use redact::{Redact, Redactor};
pub use registration::Registration;
pub use run::{Ended, LineFlusher, RunOptions, Runner};
pub use runnable::{Job, Listener};
pub use time::{Clock, SystemClock, Timestamp};
pub use topic::TopicPattern;
