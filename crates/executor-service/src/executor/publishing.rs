//! Publishes events to listeners.

use std::sync::Arc;

use executor_core::{Event, Refused};

use super::CommandExecutor;
use crate::registration::handle::ListenerHandle;
use crate::submitted::Submitted;

/// The result of publishing an event.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Published {
    /// The executions that it started, in the order in which they took their places in line.
    pub submitted: Vec<Submitted>,
    /// The matching listeners that were not invoked, each with the reason.
    pub refused: Vec<(ListenerHandle, Refused)>,
}

impl CommandExecutor {
    /// Submits an event to every live listener with a matching topic pattern: those with a higher `priority` first,
    /// then in the order of registration. A listener stays live until it is cancelled, even if its handle is dropped.
    ///
    /// In a pattern, `*` matches one segment and `#`, at the end, matches any rest; `topic_separator` separates
    /// segments. A listener with a topic that is not a pattern gets only events with exactly that topic.
    ///
    /// ```
    /// # use {executor_service::*, executor_testkit::MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await?;
    /// use executor_core::Event;
    ///
    /// let hall = executor.listener("lights", "hall").topic("motion.*");
    /// hall.handler_fn(|| async { println!("light on") }).register().await?;
    /// for submitted in executor.publish(Event::new("motion.hall"))?.submitted {
    ///     println!("{}", submitted.await.status().as_str());
    /// }
    /// assert!(executor.publish(Event::new("rain"))?.submitted.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// Commands that could not be submitted are in `refused`; see [`submit`](Self::submit). A listener registered as
    /// `once` is invoked every time: enforcing that is up to the program.
    ///
    /// # Errors
    ///
    /// [`Refused::Stopping`] or [`Refused::Paused`]: the executor accepts no commands, regardless of the event's
    /// listeners.
    pub fn publish(&self, event: impl Into<Arc<Event>>) -> Result<Published, Refused> {
        drop(self.service.running.enter()?);
        let event = event.into();
        let mut published = Published::default();
        for listener in self.service.subscriptions.of(&event.topic) {
            match self.submit(listener.invoke(Arc::clone(&event))) {
                Ok(submitted) => published.submitted.push(submitted),
                Err(refused) => published.refused.push((listener, refused)),
            }
        }
        Ok(published)
    }
}
