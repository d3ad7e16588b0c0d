//! What is an execution, and how is one run?
//!
//! A program hands a [`Command`] to the [`Runner`]; the command runs once, ends in one
//! [`Outcome`] and owes one [`ExecutionRecord`], for which its end is offered to a [`RecordSink`]. What
//! happens to the record afterwards is not this crate's business: it knows no queue, no database,
//! no file and no serialised format, only the [`ports`] through which the layers above reach one.
//!
//! Read the modules in the order in which they are declared here and they tell the story.
#![forbid(unsafe_code)]

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
pub use event::Event;
pub use failure::{ErrorKind, Failure, HandlerError};
pub use guard::Guard;
pub use handler::{Handler, HandlerFn, HandlerFuture, HandlerOutput, JobHandler};
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
pub use run::{Ended, RunOptions, Runner};
pub use runnable::{Job, Listener};
pub use time::{Clock, SystemClock, Timestamp};
pub use topic::TopicPattern;
