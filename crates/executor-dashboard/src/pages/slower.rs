//! Finds what became slower: since a new version began, or, if none did, than in as much time before, or, if too little ran
//! then, than in the first half of the time.

use std::collections::HashMap;
use std::time::Duration;

use executor_core::ports::{Stats, StoredSession, Window};
use executor_core::{Entity, Timestamp};
use serde::Serialize;

use crate::answer::Refused;
use crate::pages::asked::Asked;
use crate::pages::parts::stats_of;
use crate::question::Range;
use crate::shown;

/// A listener or job that takes longer than before.
#[derive(Serialize)]
pub(crate) struct Slower {
    pub(crate) what: String,
    #[serde(skip)]
    pub(crate) entity: Entity,
    before_us: Percentiles,
    now_us: Percentiles,
    #[serde(skip)]
    pub(crate) before: String,
    #[serde(skip)]
    pub(crate) now: String,
}

#[derive(Serialize)]
struct Percentiles {
    p50: u64,
    p95: u64,
}

impl Percentiles {
    fn of(stats: &Stats) -> Self {
        let us = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        Self {
            p50: us(stats.p50),
            p95: us(stats.p95),
        }
    }
}

/// What became slower, and than what.
#[derive(Serialize)]
pub(crate) struct Comparison {
    pub(crate) slower: Vec<Slower>,
    pub(crate) than: String,
}

/// So many runs tell something, and so much longer is slower: percentiles are accurate to 2 %.
const RUNS_MIN: u64 = 5;
const SLOWER: f64 = 1.5;

/// Compares durations, the most different first.
pub(crate) async fn slower(asked: &Asked) -> Result<Comparison, Refused> {
    let (from, to) = (asked.range.from, asked.range.to);
    let length = to.saturating_duration_since(from);
    let earlier = from.saturating_sub(length);
    if let Some((at, version)) = new_version(asked.sessions().await?, &asked.range) {
        let before = between(asked, earlier, at).await?;
        return Ok(Comparison {
            slower: compared(&before, between(asked, at, to).await?),
            than: format!("since {version} began {} than before", shown::time(at)),
        });
    }
    let before = between(asked, earlier, from).await?;
    if before.values().any(|it| it.runs() >= RUNS_MIN) {
        let now = between(asked, from, to).await?;
        return Ok(Comparison {
            slower: compared(&before, now),
            than: "than in as much time before".into(),
        });
    }
    let half = from.saturating_add(length / 2);
    let first = between(asked, from, half).await?;
    Ok(Comparison {
        slower: compared(&first, between(asked, half, to).await?),
        than: "in the second half of this time than in the first, as too little ran before".into(),
    })
}

/// The last time in a range at which a process of another version began than the one before it.
fn new_version(sessions: &[StoredSession], range: &Range) -> Option<(Timestamp, String)> {
    let pairs = sessions.iter().zip(sessions.iter().skip(1));
    let mut changes = pairs.filter_map(|(later, earlier)| {
        let (later, earlier) = (&later.session, &earlier.session);
        let version = later.version.as_ref()?;
        let is_new = earlier.program == later.program && earlier.version.as_ref() != Some(version);
        is_new.then(|| (later.started_at, version.clone()))
    });
    changes.find(|(at, _)| *at > range.from && *at < range.to)
}

async fn between(
    asked: &Asked,
    from: Timestamp,
    to: Timestamp,
) -> Result<HashMap<Entity, Stats>, Refused> {
    let window = Window {
        from: Some(from),
        to: Some(to),
        session: None,
    };
    stats_of(asked, window).await
}

fn compared(before: &HashMap<Entity, Stats>, now: HashMap<Entity, Stats>) -> Vec<Slower> {
    let ratio = |old: Duration, new: Duration| new.as_secs_f64() / old.as_secs_f64().max(1e-3);
    let mut slower: Vec<(f64, Slower)> = Vec::new();
    for (entity, new) in now {
        let Some(old) = before.get(&entity) else {
            continue;
        };
        let most = ratio(old.p95, new.p95).max(ratio(old.p50, new.p50));
        if new.runs() >= RUNS_MIN && old.runs() >= RUNS_MIN && most >= SLOWER {
            slower.push((
                most,
                Slower {
                    what: entity.path(),
                    entity,
                    before_us: Percentiles::of(old),
                    now_us: Percentiles::of(&new),
                    before: said(old),
                    now: said(&new),
                },
            ));
        }
    }
    slower.sort_by(|one, other| other.0.total_cmp(&one.0));
    slower.into_iter().map(|(_, it)| it).collect()
}

fn said(stats: &Stats) -> String {
    let (p50, p95) = (shown::took(stats.p50), shown::took(stats.p95));
    format!("half within {p50}, 95 of 100 within {p95}")
}

#[cfg(test)]
mod tests {
    use executor_core::Status;

    use super::*;

    fn stats(runs: u64, p50: u64, p95: u64) -> Stats {
        let mut stats = Stats {
            p50: Duration::from_millis(p50),
            p95: Duration::from_millis(p95),
            ..Stats::default()
        };
        stats.by_status[usize::from(Status::Success.code())] = runs;
        stats
    }

    #[test]
    fn j03_what_ran_often_enough_and_takes_half_as_long_again_is_slower() {
        let of = |before: Stats, now: Stats| {
            let entity = Entity::job("house", 0, "report");
            let before = HashMap::from([(entity.clone(), before)]);
            compared(&before, HashMap::from([(entity, now)])).len()
        };
        assert_eq!(of(stats(5, 100, 200), stats(5, 100, 301)), 1);
        assert_eq!(of(stats(5, 100, 200), stats(5, 151, 200)), 1);
        assert_eq!(of(stats(5, 100, 200), stats(5, 149, 299)), 0);
        assert_eq!(of(stats(4, 100, 200), stats(5, 900, 900)), 0);
        assert_eq!(of(stats(5, 100, 200), stats(4, 900, 900)), 0);
        assert_eq!(
            of(stats(5, 0, 0), stats(5, 1, 1)),
            0,
            "less than a millisecond is nothing"
        );
        assert_eq!(compared(&HashMap::new(), HashMap::new()).len(), 0);
    }
}
