//! What became slower, compared with as much time before.

use std::collections::HashMap;
use std::time::Duration;

use executor_core::ports::Window;
use serde::Serialize;

use crate::answer::Refused;
use crate::pages::asked::Asked;
use crate::shown;

/// A listener or job that takes longer than in as much time before.
#[derive(Serialize)]
pub(crate) struct Slower {
    pub(crate) what: String,
    before_us: u64,
    now_us: u64,
    #[serde(skip)]
    pub(crate) before: String,
    #[serde(skip)]
    pub(crate) now: String,
}

/// So many runs tell something, and so much longer is slower: percentiles are accurate to 2 %.
const RUNS_MIN: u64 = 5;
const SLOWER: f64 = 1.5;

/// What became slower, the most first, by the time within which 95 of 100 ended.
pub(crate) async fn slower(asked: &Asked) -> Result<Vec<Slower>, Refused> {
    let history = asked.history();
    let (from, to) = (asked.range.from, asked.range.to);
    let earlier = Window {
        from: Some(from.saturating_sub(to.saturating_duration_since(from))),
        to: Some(from),
        session: None,
    };
    let before = history.summaries(earlier).await?;
    let before: HashMap<_, _> = before.into_iter().map(|it| (it.entity, it.stats)).collect();
    let now = history.summaries(asked.range.window()).await?;
    let mut slower: Vec<(f64, Slower)> = Vec::new();
    for summary in now {
        let Some(old) = before.get(&summary.entity) else {
            continue;
        };
        let ratio = summary.stats.p95.as_secs_f64() / old.p95.as_secs_f64().max(1e-3);
        if summary.stats.runs() >= RUNS_MIN && old.runs() >= RUNS_MIN && ratio >= SLOWER {
            let us = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
            slower.push((
                ratio,
                Slower {
                    what: summary.entity.path(),
                    before_us: us(old.p95),
                    now_us: us(summary.stats.p95),
                    before: shown::took(old.p95),
                    now: shown::took(summary.stats.p95),
                },
            ));
        }
    }
    slower.sort_by(|one, other| other.0.total_cmp(&one.0));
    Ok(slower.into_iter().map(|(_, it)| it).collect())
}
