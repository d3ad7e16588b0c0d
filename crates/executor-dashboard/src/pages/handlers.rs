//! Listeners and jobs: how often each ran and failed, how long it took, and for a job what became of the times at which
//! it was due.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::ports::{MissedReason, Stats, StoredRegistration, Window};
use executor_core::{Entity, EntityKind};
use executor_service::diagnosis::{DueFate, DueTime, Timer, due_times, timers};
use serde::Serialize;

use crate::answer::Refused;
use crate::charts::{Svg, spark};
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::answer;
use crate::pages::parts::{
    Moment, failed, gaps, lost_of, missed_runs, path_of, registrations, stats_of,
};
use crate::shown;

/// How many due times of a job are shown.
pub(super) const DUE: usize = 30;

/// The parts of a trend.
const TREND: i64 = 12;

/// For so many jobs at most; for more they would take too long.
const JOBS_MAX: usize = 40;

#[derive(Template, Serialize)]
#[template(path = "handlers.html")]
struct Handlers {
    frame: Frame,
    handlers: Vec<Handler>,
    /// The number of jobs whose due times are not shown.
    without_due: usize,
}

impl Framed for Handlers {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// A listener or job in the list.
#[derive(Serialize)]
struct Handler {
    #[serde(skip)]
    entity: Entity,
    kind: &'static str,
    what: String,
    topic: String,
    #[serde(skip)]
    path: Option<String>,
    #[serde(flatten)]
    figures: Counts,
    /// Executions and failures, part by part of the range.
    trend: Vec<(u64, u64)>,
    #[serde(skip)]
    spark: Svg,
    /// When it is due next.
    #[serde(rename = "next_us")]
    next: Option<Moment>,
    is_paused: bool,
    overlap: String,
    due: Vec<Due>,
    /// Records that were lost, as far as it is known whose they were.
    lost: u64,
    /// Planned runs that were missed.
    missed: u64,
}

/// How often and how long.
#[derive(Serialize)]
pub(super) struct Counts {
    pub(super) runs: u64,
    pub(super) failed: u64,
    p50_us: u64,
    p95_us: u64,
    max_us: u64,
    #[serde(skip)]
    pub(super) p50: String,
    #[serde(skip)]
    pub(super) p95: String,
    #[serde(skip)]
    pub(super) max: String,
    pub(super) last_error: String,
}

impl Counts {
    pub(super) fn of(stats: &Stats) -> Self {
        let us =
            |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // What did not run took no time, and not 0.
        let took = |duration| match stats.runs() {
            0 => "–".to_owned(),
            _ => shown::took(duration),
        };
        Self {
            runs: stats.runs(),
            failed: failed(stats),
            p50_us: us(stats.p50),
            p95_us: us(stats.p95),
            max_us: us(stats.max),
            p50: took(stats.p50),
            p95: took(stats.p95),
            max: took(stats.max),
            last_error: stats.last_error.clone().unwrap_or_default(),
        }
    }
}

/// A time at which a job was due.
#[derive(Serialize)]
pub(super) struct Due {
    #[serde(rename = "due_us")]
    at: Moment,
    /// What became of it.
    pub(super) fate: &'static str,
    #[serde(skip)]
    pub(super) title: String,
    pub(super) count: u64,
    reason: Option<&'static str>,
    id: Option<String>,
    /// Below the base.
    #[serde(skip)]
    pub(super) link: String,
}

impl Due {
    pub(super) fn of(due: &DueTime) -> Self {
        let at = shown::time(due.at);
        match due.fate {
            DueFate::Ran { id, status } => Self {
                at: Moment(due.at),
                fate: status.as_str(),
                title: format!("due {at}: {}", status.as_str()),
                link: format!("/executions/{id}"),
                count: 1,
                reason: None,
                id: Some(id.to_string()),
            },
            DueFate::Missed { reason, count } => Self {
                at: Moment(due.at),
                fate: "missed",
                title: format!(
                    "due {at}: {} missed, {}",
                    shown::grouped(count),
                    why(reason)
                ),
                count,
                reason: Some(reason.as_str()),
                link: String::new(),
                id: None,
            },
        }
    }
}

/// Why due times were missed, in words.
pub(super) const fn why(reason: MissedReason) -> &'static str {
    match reason {
        MissedReason::NoProcess => "no process was running its schedule",
        MissedReason::Asleep => "the machine slept",
        MissedReason::HeldUp => "the process was held up",
        MissedReason::ClockSet => "the clock was set past it",
        MissedReason::Paused => "it was paused",
        MissedReason::Superseded => "a later run made up for it",
        _ => reason.as_str(),
    }
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, make).await
}

async fn make(asked: Asked) -> Result<Handlers, Refused> {
    let (history, now) = (asked.history(), shown::now());
    let mut stats = stats_of(&asked, asked.range.window()).await?;
    let living = asked.living().await?;
    let timers = timers(history, None, &living, now).await?;
    let mut trends = trends(&asked).await?;
    let (mut handlers, mut jobs) = (Vec::new(), 0);
    for kind in EntityKind::ALL {
        for registered in registrations(&asked, kind).await? {
            let entity = registered.registration.entity.as_ref();
            let stats = stats.remove(entity).unwrap_or_default();
            let timer = timers.iter().find(|it| *it.entity == *entity);
            let is_one_of_few = timer.is_some() && jobs < JOBS_MAX;
            jobs += usize::from(timer.is_some());
            let due = match timer.filter(|_| is_one_of_few) {
                Some(_) => due_times(history, &registered, DUE).await?,
                None => Vec::new(),
            };
            let trend = trends.remove(entity).unwrap_or_default();
            handlers.push(handler(&registered, (&stats, trend), timer, &due));
        }
    }
    // What ran and is registered no more.
    handlers.extend(stats.iter().map(|(entity, stats)| {
        let trend = trends.remove(entity).unwrap_or_default();
        unregistered(entity, (stats, trend))
    }));
    add_missing(&asked, &mut handlers).await?;
    handlers.sort_by(|one, other| {
        let by_failures = other.figures.failed.cmp(&one.figures.failed);
        by_failures.then_with(|| one.what.cmp(&other.what))
    });
    Ok(Handlers {
        without_due: jobs.saturating_sub(JOBS_MAX),
        frame: asked.frame("Handlers and jobs", "report", "").await?,
        handlers,
    })
}

/// Adds what each lacks: records that were lost, and planned runs that were missed.
async fn add_missing(asked: &Asked, handlers: &mut [Handler]) -> Result<(), Refused> {
    let (lost, missed) = (gaps(asked, &asked.range).await?, missed_runs(asked).await?);
    for handler in handlers {
        handler.lost = lost.iter().map(|gap| lost_of(gap, &handler.entity)).sum();
        let missed = missed.iter().filter(|it| *it.entity == handler.entity);
        handler.missed = missed.map(|it| it.count).sum();
    }
    Ok(())
}

/// Executions and failures, part by part.
type Trend = Vec<(u64, u64)>;

/// The trend of each listener and job over the range.
async fn trends(asked: &Asked) -> Result<HashMap<Entity, Trend>, Refused> {
    let bounds = asked.range.parts_of(TREND);
    let mut trends: HashMap<Entity, Trend> = HashMap::new();
    for (place, part) in bounds.windows(2).enumerate() {
        let window = Window {
            from: Some(part[0]),
            to: Some(part[1]),
            session: None,
        };
        for (entity, stats) in stats_of(asked, window).await? {
            let trend = trends.entry(entity).or_default();
            trend.resize(bounds.len() - 1, (0, 0));
            trend[place] = (stats.runs(), failed(&stats));
        }
    }
    Ok(trends)
}

fn handler(
    registered: &StoredRegistration,
    (stats, trend): (&Stats, Trend),
    timer: Option<&Timer>,
    due: &[DueTime],
) -> Handler {
    let registration = &registered.registration;
    let overlap = registration.details.overlap.as_ref();
    Handler {
        path: Some(path_of(registered.id)),
        next: timer.and_then(|it| it.next).map(Moment),
        is_paused: timer.is_some_and(|it| it.is_paused),
        overlap: overlap.map_or_else(String::new, |it| it.as_str().to_owned()),
        // The latest on the right, as time goes.
        due: due.iter().rev().map(Due::of).collect(),
        ..unregistered(&registration.entity, (stats, trend))
    }
}

fn unregistered(entity: &Entity, (stats, trend): (&Stats, Trend)) -> Handler {
    Handler {
        kind: shown::kind_of(entity.kind),
        what: entity.path(),
        topic: entity.topic.clone(),
        path: None,
        figures: Counts::of(stats),
        spark: spark(&trend),
        trend,
        next: None,
        is_paused: false,
        overlap: String::new(),
        due: Vec::new(),
        lost: 0,
        missed: 0,
        entity: entity.clone(),
    }
}
