//! The port for what was read from sources of events: also what did not become an execution.

use std::sync::Arc;

use crate::identity::SessionId;
use crate::ports::error::StoreFuture;
use crate::time::Timestamp;

/// What a session read from one source of events.
///
/// The counts are totals since the session began, so that writing them again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCounts {
    /// The session that read it.
    pub session: SessionId,
    /// The name of the source, unique within the session.
    pub name: Arc<str>,
    /// The lines that were read, empty ones too.
    pub lines: u64,
    /// The events among them.
    pub events: u64,
    /// The lines that were no event.
    pub bad_lines: u64,
    /// The events that no listener listened to.
    pub unheard: u64,
    /// The topics of those. Written: by hour, those of which the count has changed. Read: each topic once, the most
    /// frequent first.
    pub topics: Vec<UnheardTopic>,
    /// The first bad lines.
    pub first_bad_lines: Vec<BadLine>,
}

/// The number of events with one topic that nobody listened to: in one hour when it is written, in all hours that were
/// asked for when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnheardTopic {
    /// The beginning of the hour (UTC), the first of several.
    pub hour_at: Timestamp,
    /// The beginning of the last of these hours.
    pub last_hour_at: Timestamp,
    /// The topic; empty for all topics beyond the first thousand of a session, and for those that are longer than
    /// 4 KiB.
    pub topic: Arc<str>,
    /// The number of events.
    pub count: u64,
}

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The number of the line, from 1, counted over all that the session read from the source.
    pub line: u64,
    /// The time at which it was read.
    pub at: Timestamp,
    /// What is wrong, with the place in the line.
    pub problem: String,
    /// The line, cut.
    pub text: String,
}

/// Keeps what was read from sources of events. A store that does not keep it needs no method of this port.
pub trait SourceStore: Send + Sync + 'static {
    /// Writes the totals of sources. Topics and bad lines that are not mentioned stay. Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed. [`ErrorClass::Dangling`](crate::ErrorClass::Dangling) if a session has no row.
    fn note_sources(&self, _sources: Vec<SourceCounts>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
