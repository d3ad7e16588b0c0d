//! Feeds events from sources to the listeners that want them, in the order of each source.

use std::io;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use command_executor::{CommandExecutor, Degradation, Event, Health, Refused, Source, Submitted};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::cmd::run::register::{Listening, QUEUE_MAX};
use crate::config::sources;
use crate::exit::Failure;
use crate::input::events::Shape;
use crate::input::source;
use crate::input::source::ending::Endings;
use crate::input::source::lines::{Ahead, Line, Lines, Text};
use crate::output::progress::Counts;

/// The number of waiting records at which reading pauses until they are written, unless the spool has room: a late
/// event is better than a lost record.
const READ_NO_FURTHER_AT: u64 = QUEUE_MAX as u64 / 2;
/// The number of bad lines that are logged; further ones are only counted.
const BAD_LINES_NAMED: u64 = 10;
/// The most bytes of a bad line that the history is given; it keeps less.
const BAD_LINE_BYTES: usize = 4_096;

/// A source that is being read.
pub(super) struct Feed {
    name: String,
    /// What stands for it in messages.
    shown: String,
    shape: Shape,
    lines: Lines,
    /// Whether it comes to an end by itself.
    pub(super) ends: bool,
}

/// Starts to read the sources. What has to be ended is added to the endings.
pub(super) fn open(
    sources: Vec<sources::Source>,
    endings: &mut Endings,
) -> Result<Vec<Feed>, Failure> {
    let ahead = Ahead::of(sources.len());
    let mut open = |from: sources::Source| {
        let (shown, ends) = (from.input.shown(), from.input.ends());
        let lines = source::read(from.input, &ahead, endings);
        let lines = lines.map_err(|error| unreadable(&from.name, &shown, error))?;
        let (name, shape) = (from.name, from.shape);
        Ok(Feed {
            name,
            shown,
            shape,
            lines,
            ends,
        })
    };
    sources.into_iter().map(&mut open).collect()
}

fn unreadable(name: &str, shown: &str, source: io::Error) -> Failure {
    let (name, shown) = (name.to_owned(), shown.to_owned());
    Failure::Source {
        name,
        shown,
        source,
    }
}

/// Gives events to listeners.
pub(super) struct Feeding {
    executor: CommandExecutor,
    /// The listeners of the configuration as it is now.
    listeners: RwLock<Arc<[Arc<Listening>]>>,
    /// Executions that events have started, and the room for more.
    tasks: TaskTracker,
    room: Arc<Semaphore>,
    pub(super) counts: Arc<Counts>,
    /// Why the events could not be read to the end.
    pub(super) unread: OnceLock<Failure>,
}

impl Feeding {
    pub(super) fn new(executor: CommandExecutor, room: usize) -> Self {
        Self {
            executor,
            listeners: RwLock::default(),
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(room)),
            counts: Arc::default(),
            unread: OnceLock::new(),
        }
    }

    /// Gives the events from now on to these listeners.
    pub(super) fn listen(&self, listeners: Arc<[Arc<Listening>]>) {
        *self
            .listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner) = listeners;
    }

    fn listeners(&self) -> Arc<[Arc<Listening>]> {
        let listeners = self.listeners.read();
        Arc::clone(&listeners.unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads every source to its end, side by side, and returns once they have ended.
    pub(super) async fn feed(self: &Arc<Self>, feeds: &mut Vec<Feed>) {
        let mut reading = JoinSet::new();
        for feed in feeds.drain(..) {
            let this = Arc::clone(self);
            reading.spawn(async move { this.read(feed).await });
        }
        reading.join_all().await;
    }

    /// Waits for the executions that events have started.
    pub(super) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn read(&self, mut feed: Feed) {
        let source = self.executor.source(&feed.name);
        let mut number = 0_u64;
        while let Some(line) = feed.lines.recv().await {
            number += 1;
            let text = match line {
                Ok(Line::Text(text)) => text,
                Ok(Line::TooLong(max)) => {
                    let why = format!("longer than {}", size(max));
                    self.bad_line(&source, &feed, number, &why, &[]);
                    continue;
                }
                Err(error) => {
                    let (name, shown) = (&feed.name, &feed.shown);
                    tracing::error!(
                        "cannot read the source `{name}` ({shown}) any further: {error}"
                    );
                    let _ = self.unread.set(unreadable(name, shown, error));
                    return;
                }
            };
            if !self.line(&source, &feed, number, text).await {
                return;
            }
        }
    }

    /// Returns `false` when the service stops.
    async fn line(&self, source: &Source, feed: &Feed, number: u64, text: Text) -> bool {
        if text.bytes().trim_ascii().is_empty() {
            source.skipped_line();
            return true;
        }
        match feed.shape.event(text.bytes()) {
            Ok(Some(event)) => {
                let event = event.with_payload(text);
                return self.dispatch(source, Arc::new(event)).await;
            }
            Ok(None) => source.skipped_line(),
            Err(why) => self.bad_line(source, feed, number, &why, text.bytes()),
        }
        true
    }

    fn bad_line(&self, source: &Source, feed: &Feed, number: u64, why: &str, text: &[u8]) {
        let start = &text[..text.len().min(BAD_LINE_BYTES)];
        source.bad_line(why, &String::from_utf8_lossy(start));
        let bad = Counts::add(&self.counts.bad_lines);
        if bad <= BAD_LINES_NAMED {
            tracing::warn!("{}:{number}: {why}; skipped the line", feed.name);
        }
        if bad == BAD_LINES_NAMED {
            tracing::warn!("further bad lines are only counted");
        }
    }

    /// Gives an event to all listeners that want it. Counts it once they have it; `false` when the service stops.
    async fn dispatch(&self, source: &Source, event: Arc<Event>) -> bool {
        if self.is_crowded() {
            let _ = self.executor.flush().await;
        }
        let listeners = self.listeners();
        let is_for = |listener: &&Arc<Listening>| listener.topic.matches(&event.topic);
        let mut is_heard = false;
        for listener in listeners.iter().filter(is_for) {
            match self.handle(listener, &listeners, &event).await {
                Ok(has_it) => is_heard |= has_it,
                Err(_) => return false,
            }
        }
        Counts::add(&self.counts.events);
        source.note_event(&event.topic, is_heard);
        true
    }

    /// Returns whether the records of further events may be lost: memory has room for few more, or the spool is
    /// filling.
    fn is_crowded(&self) -> bool {
        let ledger = self.executor.ledger();
        if ledger.waiting < READ_NO_FURTHER_AT || ledger.durability.is_none() {
            return ledger.waiting >= READ_NO_FURTHER_AT;
        }
        let is_filling = |reason: &Degradation| matches!(reason, Degradation::SpoolFilling { .. });
        match self.executor.health() {
            Health::Degraded(reasons) => reasons.iter().any(is_filling),
            Health::Healthy | Health::Failed { .. } => false,
        }
    }

    /// Submits the event before the next one is read, so that it keeps its place in line. Returns whether the listener, or
    /// one that has taken its place, has it now: not if it is paused. An error if the service stops.
    async fn handle(
        &self,
        listener: &Listening,
        before: &[Arc<Listening>],
        event: &Arc<Event>,
    ) -> Result<bool, Refused> {
        let room = if listener.waits_for_room {
            Arc::clone(&self.room).acquire_owned().await.ok()
        } else {
            None
        };
        let submitted = match self.submit_to_current(listener, before, event).await {
            // Somebody has paused it; others and what comes later are not its matter.
            Err(Refused::Paused) => None,
            submitted => submitted?,
        };
        let has_it = submitted.is_some();
        if let Some(submitted) = submitted {
            self.tasks.spawn(async move {
                submitted.await;
                drop(room);
            });
        }
        Ok(has_it)
    }

    /// Returns the submitted command, or why there is none: the service stops, and then nothing is owed, or the
    /// listener was removed.
    async fn submit(&self, listener: &Listening, event: &Arc<Event>) -> Result<Submitted, Refused> {
        loop {
            let command = listener.handle.invoke(Arc::clone(event));
            match self.executor.submit(command) {
                Err(Refused::Busy) => self.executor.room().await,
                submitted => return submitted,
            }
        }
    }

    /// Submits it to the listener, or to the one that has taken its place since the event came, which is none of those
    /// `before`; `None` if the configuration has none any more.
    async fn submit_to_current(
        &self,
        listener: &Listening,
        before: &[Arc<Listening>],
        event: &Arc<Event>,
    ) -> Result<Option<Submitted>, Refused> {
        let mut submitted = self.submit(listener, event).await;
        while let Err(Refused::Removed) = submitted {
            let listeners = self.listeners();
            let is_new = |it: &&Arc<Listening>| {
                let is_old = before.iter().any(|old| Arc::ptr_eq(old, it));
                !is_old && it.is_named_as(listener) && it.topic.matches(&event.topic)
            };
            let is_same = |it: &&Arc<Listening>| is_new(it) && it.topic == listener.topic;
            let mut all = listeners.iter();
            let current = all.clone().find(is_same).or_else(|| all.find(is_new));
            let Some(current) = current else {
                return Ok(None);
            };
            submitted = self.submit(current, event).await;
        }
        submitted.map(Some)
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mebi => format!("{mebi} MiB"),
    }
}
