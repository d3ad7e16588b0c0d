//! Telling listeners of an event.

use std::sync::Arc;

use executor_core::{Event, Refused};

use super::CommandExecutor;
use crate::registration::handle::ListenerHandle;
use crate::submitted::Submitted;

/// What came of an event that was published.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Published {
    /// The executions that it started, in the order in which they took their places in line.
    pub submitted: Vec<Submitted>,
    /// The listeners that it was for and that were not invoked, and why.
    pub refused: Vec<(ListenerHandle, Refused)>,
}

impl CommandExecutor {
    /// Submits an event to every live listener whose topic pattern matches: those with a higher `priority` first, then
    /// in the order of their registration. A listener lives until it is cancelled, also where its handle was dropped.
    ///
    /// In a pattern `*` stands for one segment and `#`, at the end, for any rest; `topic_separator` stands between
    /// segments. A listener whose topic is no pattern gets the events with just that topic.
    ///
    /// ```
    /// # use {executor_service::*, executor_testkit::MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await?;
    /// use executor_core::Event;
    ///
    /// let hall = executor.listener("lights", "hall").topic("motion.*");
    /// hall.handler_fn(|| async { println!("light on") }).register().await?;
    /// for submitted in executor.publish(Event::new("motion.hall")).submitted {
    ///     println!("{}", submitted.await.status().as_str());
    /// }
    /// assert!(executor.publish(Event::new("rain")).submitted.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// What cannot be submitted is in `refused`; see [`submit`](Self::submit).
    pub fn publish(&self, event: impl Into<Arc<Event>>) -> Published {
        let event = event.into();
        let mut published = Published::default();
        for listener in self.service.subscriptions.of(&event.topic) {
            match self.submit(listener.invoke(Arc::clone(&event))) {
                Ok(submitted) => published.submitted.push(submitted),
                Err(refused) => published.refused.push((listener, refused)),
            }
        }
        published
    }
}
