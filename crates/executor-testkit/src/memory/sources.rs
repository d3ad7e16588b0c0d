//! What was read from sources of events, in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use executor_core::ports::{SourceCounts, SourceStore, StoreFuture, UnheardTopic, Window};

use super::{MemoryStore, Tables, no_session};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

impl SourceStore for MemoryStore {
    fn note_sources(&self, sources: Vec<SourceCounts>) -> StoreFuture<'_, ()> {
        const NOTING: &str = "noting sources";
        Box::pin(async move {
            self.with(NOTING, |tables| {
                let is_known =
                    |source: &SourceCounts| tables.sessions.contains_key(&source.session);
                if !sources.iter().all(is_known) {
                    return Err(no_session(NOTING));
                }
                sources
                    .into_iter()
                    .for_each(|source| tables.note_source(source));
                Ok(())
            })?
        })
    }
}

impl Tables {
    fn note_source(&mut self, noted: SourceCounts) {
        let is_it = |it: &&mut SourceCounts| it.session == noted.session && it.name == noted.name;
        let Some(known) = self.sources.iter_mut().find(is_it) else {
            return self.sources.push(noted);
        };
        known.lines = known.lines.max(noted.lines);
        known.events = known.events.max(noted.events);
        known.bad_lines = known.bad_lines.max(noted.bad_lines);
        known.unheard = known.unheard.max(noted.unheard);
        for topic in noted.topics {
            let mut topics = known.topics.iter_mut();
            match topics.find(|it| it.hour_at == topic.hour_at && it.topic == topic.topic) {
                Some(it) => it.count = it.count.max(topic.count),
                None => known.topics.push(topic),
            }
        }
        for bad in noted.first_bad_lines {
            if known.first_bad_lines.iter().all(|it| it.line != bad.line) {
                known.first_bad_lines.push(bad);
            }
        }
    }

    /// Returns the sources in a window, each with its number.
    pub(super) fn sources_in(&self, window: &Window) -> Vec<((i64, i64), SourceCounts)> {
        let is_in = |source: &SourceCounts| {
            let session = self.sessions.get(&source.session).map(|row| &row.stored);
            window.session.is_none_or(|id| source.session == id)
                && session.is_some_and(|session| {
                    window.to.is_none_or(|to| session.session.started_at < to)
                        && window
                            .from
                            .is_none_or(|from| session.stopped_at.is_none_or(|end| end >= from))
                })
        };
        let sources = self.sources.iter().enumerate();
        let sources = sources.filter(|(_, source)| is_in(source));
        sources
            .map(|(number, source)| ((0, number as i64), cut_to(source.clone(), window)))
            .collect()
    }
}

fn cut_to(mut source: SourceCounts, window: &Window) -> SourceCounts {
    source.topics.retain(|topic| {
        window.to.is_none_or(|to| topic.hour_at < to)
            && window
                .from
                .is_none_or(|from| topic.hour_at > from.saturating_sub(HOUR))
    });
    let mut by_topic: BTreeMap<Arc<str>, UnheardTopic> = BTreeMap::new();
    for topic in source.topics {
        let all = by_topic.entry(Arc::clone(&topic.topic));
        all.and_modify(|all| {
            all.hour_at = all.hour_at.min(topic.hour_at);
            all.last_hour_at = all.last_hour_at.max(topic.hour_at);
            all.count += topic.count;
        })
        .or_insert(topic);
    }
    source.topics = by_topic.into_values().collect();
    source.topics.sort_by_key(|topic| Reverse(topic.count));
    source.first_bad_lines.sort_by_key(|bad| bad.line);
    source
}
