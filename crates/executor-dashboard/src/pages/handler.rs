//! One listener or job: its outcomes and durations part by part, the same time a year earlier, its slowest runs, and why
//! it did or did not run at a moment.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::ports::{
    Action, Filter, PageRequest, Scope, Stats, StoredExecution, StoredRegistration,
};
use executor_core::{EntityKind, Timestamp};
use executor_service::diagnosis::{Facts, Question, due_times, explain};
use serde::Serialize;

use crate::answer::Refused;
use crate::charts::{Svg, durations, outcomes};
use crate::pages::acting::{Done, Offer, asked_for, offer};
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::handlers::{Counts, DUE, Due};
use crate::pages::making::answer;
use crate::pages::parts::{PartRow, Row, parts, registration, word_of};
use crate::pages::processes::drawn_of;
use crate::pages::settings::settings;
use crate::question::moment;
use crate::shown;

/// The slowest runs that are named, and of how many latest ones above the 95th percentile.
const SLOWEST: usize = 10;
const CANDIDATES: u32 = 500;

/// How many of the latest are shown, and how many are looked at for threads that they held.
const LATEST: usize = 20;
const LOOKED_AT: u32 = 200;

const YEAR_US: i64 = 365 * 86_400_000_000;

#[derive(Template, Serialize)]
#[template(path = "handler.html")]
struct Handler {
    frame: Frame,
    what: String,
    kind: &'static str,
    topic: String,
    description: String,
    /// The schedule of a job, and since when it has it.
    schedule: String,
    figures: Counts,
    /// As much time before.
    before: Counts,
    /// The same time a year earlier.
    year_earlier: Counts,
    #[serde(skip)]
    outcomes: Svg,
    #[serde(skip)]
    durations: Svg,
    parts: Vec<PartRow>,
    due: Vec<Due>,
    /// If they were asked for: no index serves them.
    slowest: Option<Vec<Row>>,
    #[serde(skip)]
    find_slowest: String,
    latest: Vec<Row>,
    /// Of the latest, those that held a thread for too long or left one behind.
    holding: Vec<Holding>,
    /// How many were looked at for that.
    looked_at: usize,
    #[serde(skip)]
    offer: Option<Offer>,
    /// Its kind and row.
    #[serde(skip)]
    path: String,
    /// What people asked of it.
    asked_for: Vec<Done>,
    settings: Vec<(&'static str, String)>,
    /// The moment that was asked about, as it was asked.
    at: String,
    explanation: String,
}

/// An execution that held a thread.
#[derive(Serialize)]
struct Holding {
    row: Row,
    /// Its longest poll; zero if that was short enough.
    longest_poll_us: u64,
    #[serde(skip)]
    longest_poll: String,
    thread_leaked: bool,
}

impl Framed for Handler {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Path((kind, row)): Path<(String, String)>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, |asked| make(asked, kind, row)).await
}

async fn make(asked: Asked, kind: String, row: String) -> Result<Handler, Refused> {
    let history = asked.history();
    let registered = registration(&asked, &kind, &row).await?;
    let entity = &registered.registration.entity;
    let scope = Scope::Registration(registered.id);
    let (from, to) = (asked.range.from.as_micros(), asked.range.to.as_micros());
    let at = |us: i64| Timestamp::from_micros(us);
    let stats = history
        .series(scope.clone(), vec![at(from), at(to)])
        .await?;
    let earlier = vec![
        at(from.saturating_sub(YEAR_US)),
        at(to.saturating_sub(YEAR_US)),
    ];
    let earlier = history.series(scope.clone(), earlier).await?;
    let stats = stats.into_iter().next().unwrap_or_default();
    let before = vec![at(from.saturating_sub(to - from)), at(from)];
    let before = history.series(scope.clone(), before).await?;
    let before = before.into_iter().next().unwrap_or_default();
    let schedule = schedule(&asked, &registered).await?;
    let processes = drawn_of(&asked).await?;
    let earlier = earlier.into_iter().next().unwrap_or_default();
    let of = format!("{kind}/{row}");
    let parts = parts(&asked, scope.clone(), Some(entity), &[("of", &of)]).await?;
    let last_year = match earlier.runs() {
        0 => Vec::new(),
        _ => a_year_earlier(&asked, &scope).await?,
    };
    let due = match entity.kind {
        EntityKind::Job => due_times(history, &registered, DUE).await?,
        EntityKind::Listener => Vec::new(),
    };
    let of_it = Filter {
        scope,
        from: Some(asked.range.from),
        to: asked.range.window().to,
        ..Filter::default()
    };
    let latest = history
        .executions(of_it.clone(), PageRequest::first(LOOKED_AT))
        .await?;
    let slowest = match asked.question.one("slowest") {
        Some(_) => Some(slowest(&asked, of_it, stats.p95).await?),
        None => None,
    };
    let at_field = asked.question.one("at").unwrap_or_default().to_owned();
    Ok(Handler {
        frame: asked
            .frame(&entity.path(), "report", &word_of(entity))
            .await?,
        what: entity.path(),
        kind: shown::kind_of(entity.kind),
        topic: entity.topic.clone(),
        description: registered
            .registration
            .details
            .description
            .clone()
            .unwrap_or_default(),
        figures: Counts::of(&stats),
        before: Counts::of(&before),
        schedule,
        year_earlier: Counts::of(&earlier),
        outcomes: outcomes(&parts, &processes),
        durations: durations(&parts, &last_year, &processes),
        parts: PartRow::all(&parts),
        due: due.iter().rev().map(Due::of).collect(),
        find_slowest: asked.question.with(&[("slowest", "1")]),
        slowest,
        latest: latest.items.iter().take(LATEST).map(Row::of).collect(),
        holding: holding(&latest.items),
        looked_at: latest.items.len(),
        offer: offer(&asked, entity),
        path: of,
        asked_for: asked_for(&asked, &Action::Pause(Arc::clone(entity)).target()).await?,
        settings: settings(&registered),
        explanation: explanation(&asked, &registered, &at_field).await?,
        at: at_field,
    })
}

/// The parts of the range, a year earlier.
async fn a_year_earlier(asked: &Asked, scope: &Scope) -> Result<Vec<Stats>, Refused> {
    let bounds = asked.range.parts().into_iter();
    let bounds = bounds.map(|at| Timestamp::from_micros(at.as_micros().saturating_sub(YEAR_US)));
    let series = asked.history().series(scope.clone(), bounds.collect());
    Ok(series.await?)
}

/// Those that held a thread for too long or left one behind, the longest first.
fn holding(latest: &[StoredExecution]) -> Vec<Holding> {
    let flags = |it: &StoredExecution| it.record.flags;
    let mut held: Vec<_> = latest
        .iter()
        .filter(|it| flags(it).blocked.is_some() || flags(it).thread_leaked)
        .collect();
    held.sort_by_key(|it| std::cmp::Reverse(flags(it).blocked));
    let held = held.into_iter().take(SLOWEST).map(|it| {
        let longest = flags(it).blocked.unwrap_or_default();
        Holding {
            row: Row::of(it),
            longest_poll_us: u64::try_from(longest.as_micros()).unwrap_or(u64::MAX),
            longest_poll: flags(it).blocked.map(shown::took).unwrap_or_default(),
            thread_leaked: flags(it).thread_leaked,
        }
    });
    held.collect()
}

/// The slowest of the latest that took as long as five of a hundred, the slowest first.
async fn slowest(asked: &Asked, of_it: Filter, p95: Duration) -> Result<Vec<Row>, Refused> {
    let slow = Filter {
        min_duration: Some(p95),
        ..of_it
    };
    let page = asked
        .history()
        .executions(slow, PageRequest::first(CANDIDATES))
        .await?;
    let mut slow = page.items;
    slow.sort_by_key(|it| std::cmp::Reverse(it.record.duration));
    Ok(slow.iter().take(SLOWEST).map(Row::of).collect())
}

/// The schedule that a job has now.
async fn schedule(asked: &Asked, registered: &StoredRegistration) -> Result<String, Refused> {
    if registered.id.kind == EntityKind::Listener {
        return Ok(String::new());
    }
    let schedules = asked.history().schedules(registered.id).await?;
    let current = schedules.into_iter().find(|it| it.until.is_none());
    let text = current.map(|it| format!("{}, since {}", it.plan.text, shown::dated(it.from)));
    Ok(text.unwrap_or_else(|| "no schedule".into()))
}

/// Why it ran or did not run at a moment.
async fn explanation(
    asked: &Asked,
    registered: &StoredRegistration,
    at: &str,
) -> Result<String, Refused> {
    if at.is_empty() {
        return Ok(String::new());
    }
    let at = moment(at, shown::now())?;
    if at > shown::now() {
        return Ok("That is still to come.".into());
    }
    let entity = &registered.registration.entity;
    let mut question = Question::new(entity.app_key.clone(), entity.name.clone(), at);
    question.instance = Some(entity.instance);
    let facts = Facts::read(asked.history(), &question).await?;
    let what = entity.path();
    Ok(explain(&question, &facts).sentence(&what, shown::exact))
}
