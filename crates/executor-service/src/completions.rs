//! Tells subscribers which executions were stored: one event per stored record of the app tier.
//!
//! Subscribers share a buffer of bounded length. The publisher writes into it and waits for nobody; a subscriber
//! that is too slow loses its oldest events and learns how many it lost.

use std::sync::Arc;
use std::time::Duration;

use executor_core::{
    Event, ExecutionId, ExecutionRecord, RateLimiter, SourceTier, Status, Subject,
};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

/// An execution of the app tier was stored.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
/// #     .start()
/// #     .await?;
/// # let job = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
/// use executor_service::CompletionEvent;
///
/// let mut completions = executor.completions();
/// executor.execute(job.run_now()).await?;
/// match completions.next().await {
///     Some(CompletionEvent::Completed(completion)) => assert_eq!(completion.app_key(), "lights"),
///     Some(CompletionEvent::Lagged(count)) => println!("too slow: {count} events were overwritten"),
///     None => println!("the executor is gone"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// The execution's id, the same as in its row.
    pub execution_id: ExecutionId,
    /// The kind, the key and, if known, the row of what ran.
    pub subject: Subject,
    /// The status with which it ended.
    pub status: Status,
    /// Its duration.
    pub duration: Duration,
    /// The type of the error, if there was one.
    pub error_type: Option<String>,
    /// True if its blocking thread was still running when it ended.
    pub thread_leaked: bool,
}

impl Completion {
    fn of(record: &ExecutionRecord) -> Self {
        let failure = record.failure.as_ref();
        Self {
            execution_id: record.execution_id,
            subject: record.subject.clone(),
            status: record.status,
            duration: record.duration,
            error_type: failure.map(|failure| failure.error_type.to_string()),
            thread_leaked: record.flags.thread_leaked,
        }
    }

    /// Returns the key of the app that it belongs to.
    pub fn app_key(&self) -> &str {
        &self.subject.entity.app_key
    }

    /// Returns the instance of the app.
    pub fn instance(&self) -> u32 {
        self.subject.entity.instance
    }

    /// Returns an event that carries this completion as its payload. Executions that it triggers cause no further
    /// completions, so a listener of completions cannot trigger itself.
    pub fn event(self: &Arc<Self>, topic: impl Into<Arc<str>>) -> Event {
        let mut event = Event::synthetic(topic).with_payload(Arc::clone(self));
        event.generation = 1;
        event
    }
}

/// An item that a subscriber receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionEvent {
    /// An execution was stored.
    Completed(Arc<Completion>),
    /// This many events were overwritten before the subscriber took them.
    Lagged(u64),
}

/// A subscription to completion events; created by
/// [`CommandExecutor::completions`](crate::CommandExecutor::completions).
#[derive(Debug)]
pub struct Completions {
    receiver: broadcast::Receiver<Arc<Completion>>,
}

impl Completions {
    /// Returns the next event, in the order in which records were stored; `None` once the executor has stopped and
    /// all events have been taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<CompletionEvent> {
        match self.receiver.recv().await {
            Ok(completion) => Some(CompletionEvent::Completed(completion)),
            Err(RecvError::Lagged(count)) => Some(CompletionEvent::Lagged(count)),
            Err(RecvError::Closed) => None,
        }
    }

    /// Returns the next event if one is already available; otherwise, and once the executor has stopped, `None`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// # let job = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
    /// let mut completions = executor.completions();
    /// executor.execute(job.run_now()).await?;
    /// executor.flush().await?;
    /// assert!(completions.try_next().is_some() && completions.try_next().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_next(&mut self) -> Option<CompletionEvent> {
        match self.receiver.try_recv() {
            Ok(completion) => Some(CompletionEvent::Completed(completion)),
            Err(TryRecvError::Lagged(count)) => Some(CompletionEvent::Lagged(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// The minimum time between two warnings about an app without a name.
const NAMELESS_EVERY: Duration = Duration::from_secs(30);

/// Publishes completions. Owned by the drain, so subscriptions end with it.
pub(crate) struct Publisher {
    sender: broadcast::WeakSender<Arc<Completion>>,
    nameless: RateLimiter<()>,
}

/// Keeps the buffer open; dropped at the end of the shutdown, after the last record was settled.
pub(crate) struct CompletionBuffer(broadcast::Sender<Arc<Completion>>);

impl CompletionBuffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(broadcast::Sender::new(capacity))
    }

    pub(crate) fn subscribe(&self) -> Completions {
        Completions {
            receiver: self.0.subscribe(),
        }
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher {
            sender: self.0.downgrade(),
            nameless: RateLimiter::new(NAMELESS_EVERY, 1),
        }
    }
}

impl Publisher {
    /// Publishes the stored records of a batch that this process offered. Recovered records must not be passed
    /// here.
    pub(crate) fn publish<'r>(
        &self,
        stored: impl Iterator<Item = &'r ExecutionRecord>,
        now: Instant,
    ) {
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        // Executions triggered by a completion event (generation 1 and up) publish none.
        let ours = |record: &&ExecutionRecord| {
            record.source_tier == SourceTier::App && record.generation == 0
        };
        for record in stored.filter(ours) {
            if record.subject.entity.app_key.is_empty() && self.nameless.allows(&(), now) {
                tracing::warn!(
                    execution.id = %record.execution_id,
                    "stored an execution of the app tier that has no app key"
                );
            }
            if sender.receiver_count() > 0 {
                // An error means that the last subscriber has just gone.
                let _ = sender.send(Arc::new(Completion::of(record)));
            }
        }
    }
}
