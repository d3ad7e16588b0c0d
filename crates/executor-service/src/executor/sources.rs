//! Sources of events.

use std::sync::{Arc, Mutex, MutexGuard};

use executor_core::{Event, Refused};

use super::CommandExecutor;
use crate::executor::publishing::Published;
use crate::sources::tally::Tally;
use crate::sources::{SourceLog, locked};

/// A source of events, such as a topic of a message broker or a file; created by [`CommandExecutor::source`].
///
/// What is read from it is counted, and the history has the counts, with the topics of events that no listener
/// listened to and the first bad lines.
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let executor = CommandExecutor::builder(store.clone()).start().await?;
/// use executor_core::{Event, ports::{History, PageRequest, Window}};
///
/// let broker = executor.source("broker");
/// broker.publish(Event::new("rain"))?; // nobody listens
/// broker.bad_line("expected a value at column 1", "}{");
/// executor.shutdown(std::time::Duration::from_secs(5)).await;
///
/// let sources = store.sources(Window::default(), PageRequest::default()).await?.items;
/// assert_eq!((sources[0].events, sources[0].bad_lines, sources[0].unheard), (1, 1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Source {
    executor: CommandExecutor,
    tally: Arc<Mutex<Tally>>,
}

impl Source {
    /// Publishes an event as [`CommandExecutor::publish`] does, and counts it, as unheard if no listener matches it.
    ///
    /// # Errors
    ///
    /// As [`CommandExecutor::publish`]. A refused event is counted, but not as unheard.
    pub fn publish(&self, event: impl Into<Arc<Event>>) -> Result<Published, Refused> {
        let event = event.into();
        let published = self.executor.publish(Arc::clone(&event));
        let is_unheard = published
            .as_ref()
            .is_ok_and(|published| published.submitted.is_empty() && published.refused.is_empty());
        self.note_event(&event.topic, !is_unheard);
        published
    }

    /// Counts a line with an event that the program itself gave to listeners, or to none.
    pub fn note_event(&self, topic: &str, is_heard: bool) {
        let clock = &self.executor.service.clock;
        self.tally().event(topic, is_heard, || clock.now().wall);
        self.log().bell.notify_one();
    }

    /// Counts a line that is no event. The first ten of a session are kept, cut to 500 characters.
    pub fn bad_line(&self, problem: &str, text: &str) {
        let now = self.executor.service.clock.now().wall;
        self.tally().bad_line(problem, text, now);
        self.log().bell.notify_one();
    }

    /// Counts a line that is not meant to be an event, such as an empty one.
    pub fn skipped_line(&self) {
        self.tally().skipped_line();
        self.log().bell.notify_one();
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        locked(&self.tally)
    }

    fn log(&self) -> &SourceLog {
        &self.executor.service.sources
    }
}

impl CommandExecutor {
    /// Returns the source of events with this name; the same one for the same name.
    ///
    /// It keeps the service alive, as every clone of the executor does.
    pub fn source(&self, name: &str) -> Source {
        let tally = self.service.sources.tally(name);
        let executor = self.clone();
        Source { executor, tally }
    }
}
