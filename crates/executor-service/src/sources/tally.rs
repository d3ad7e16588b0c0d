//! What was read from one source, and how much of that the store knows.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use executor_core::ports::{BadLine, SourceCounts, UnheardTopic};
use executor_core::redact::{Redactor, TextKind};
use executor_core::{SessionId, Timestamp, failure};

/// The most topics that are told apart in a session; the others are counted together.
const TOPICS_MAX: usize = 1_000;
/// The longest topic that is told apart, in bytes. The hook sees topics whole, which takes its time.
const TOPIC_MAX_BYTES: usize = 4_096;
/// The bad lines that are kept.
const BAD_LINES_KEPT: usize = 10;
/// The longest text of a bad line, or of its problem, that is kept, in characters.
const TEXT_MAX_CHARS: usize = 500;
const HOUR_US: i64 = 3_600_000_000;

pub(crate) struct Tally {
    /// The totals. Its topics are empty: they are below.
    counts: SourceCounts,
    redactor: Redactor,
    /// How often each topic was heard by nobody in an hour, and how much of that the store knows.
    unheard: BTreeMap<(Timestamp, Arc<str>), (u64, u64)>,
    /// The topics that are told apart.
    topics: HashSet<Arc<str>>,
    is_changed: bool,
}

impl Tally {
    pub(crate) fn new(session: SessionId, name: &str, redactor: Redactor) -> Self {
        Self {
            counts: SourceCounts {
                session,
                name: name.into(),
                lines: 0,
                events: 0,
                bad_lines: 0,
                unheard: 0,
                topics: Vec::new(),
                first_bad_lines: Vec::new(),
            },
            redactor,
            unheard: BTreeMap::new(),
            topics: HashSet::new(),
            is_changed: true,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.counts.name
    }

    pub(crate) fn skipped_line(&mut self) {
        self.counts.lines += 1;
        self.is_changed = true;
    }

    pub(crate) fn event(&mut self, topic: &str, is_heard: bool, now: impl FnOnce() -> Timestamp) {
        self.skipped_line();
        self.counts.events += 1;
        if !is_heard {
            self.counts.unheard += 1;
            let topic = self.told_apart(topic);
            let heard = self.unheard.entry((hour_of(now()), topic)).or_default();
            heard.0 += 1;
        }
    }

    /// Returns the topic, or the empty one that stands for all that are too many.
    fn told_apart(&mut self, topic: &str) -> Arc<str> {
        if topic.len() > TOPIC_MAX_BYTES {
            return Arc::default();
        }
        let kept = self.redactor.apply(TextKind::Topic, topic);
        let kept = failure::storable(&kept, TEXT_MAX_CHARS);
        if let Some(known) = self.topics.get(kept.as_str()) {
            return Arc::clone(known);
        }
        if self.topics.len() >= TOPICS_MAX {
            return Arc::default();
        }
        let topic: Arc<str> = kept.into();
        self.topics.insert(Arc::clone(&topic));
        topic
    }

    pub(crate) fn bad_line(&mut self, problem: &str, text: &str, now: Timestamp) {
        self.skipped_line();
        self.counts.bad_lines += 1;
        if self.counts.first_bad_lines.len() < BAD_LINES_KEPT {
            let kept = |text| {
                let kept = self.redactor.apply(TextKind::EventLine, text);
                failure::storable(&kept, TEXT_MAX_CHARS)
            };
            let bad = BadLine {
                line: self.counts.lines,
                at: now,
                problem: kept(problem),
                text: kept(text),
            };
            self.counts.first_bad_lines.push(bad);
        }
    }

    /// Returns the totals, with the topics of which the store does not know the count; `None` if it knows all.
    pub(crate) fn unwritten(&self) -> Option<SourceCounts> {
        let unknown = self
            .unheard
            .iter()
            .filter(|(_, (count, known))| count > known);
        let topics = unknown.map(|((hour_at, topic), (count, _))| UnheardTopic {
            hour_at: *hour_at,
            last_hour_at: *hour_at,
            topic: Arc::clone(topic),
            count: *count,
        });
        self.is_changed.then(|| SourceCounts {
            topics: topics.collect(),
            ..self.counts.clone()
        })
    }

    /// Notes what the store knows, and forgets hours that are over.
    pub(crate) fn written(&mut self, written: &SourceCounts, now: Timestamp) {
        for topic in &written.topics {
            let key = (topic.hour_at, Arc::clone(&topic.topic));
            if let Some((_, known)) = self.unheard.get_mut(&key) {
                *known = topic.count;
            }
        }
        let this_hour = hour_of(now);
        self.unheard
            .retain(|(hour, _), (count, known)| *hour >= this_hour || count > known);
        let total = |counts: &SourceCounts| (counts.lines, counts.events, counts.bad_lines);
        self.is_changed = total(&self.counts) != total(written);
    }
}

fn hour_of(time: Timestamp) -> Timestamp {
    let micros = time.as_micros();
    Timestamp::from_micros(micros.saturating_sub(micros.rem_euclid(HOUR_US)))
}

#[cfg(test)]
mod tests;
