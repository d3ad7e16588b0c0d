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
use crate::pages::parts::{PartRow, Row, gaps, lost_of, parts, registration, word_of};
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
    /// Its records that were lost in the range.
    lost: u64,
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
    let registered = registration(&asked, &kind, &row).await?;
    let entity = &registered.registration.entity;
    let scope = Scope::Registration(registered.id);
    let path = format!("{kind}/{row}");
    let figures = Summed::read(&asked, &scope).await?;
    let parts = parts(&asked, scope.clone(), Some(entity), &[("of", &path)]).await?;
    let (last_year, processes) = (
        figures.last_year(&asked, &scope).await?,
        drawn_of(&asked).await?,
    );
    let latest = latest(&asked, &scope).await?;
    let lost = gaps(&asked, &asked.range).await?;
    let details = &registered.registration.details;
    let target = Action::Pause(Arc::clone(entity)).target();
    let at = asked.question.one("at").unwrap_or_default().to_owned();
    Ok(Handler {
        frame: asked
            .frame(&entity.path(), "report", &word_of(entity))
            .await?,
        what: entity.path(),
        kind: shown::kind_of(entity.kind),
        topic: entity.topic.clone(),
        description: details.description.clone().unwrap_or_default(),
        schedule: schedule(&asked, &registered).await?,
        figures: Counts::of(&figures.now),
        before: Counts::of(&figures.before),
        year_earlier: Counts::of(&figures.year_earlier),
        outcomes: outcomes(&parts, &processes),
        durations: durations(&parts, &last_year, &processes),
        parts: PartRow::all(&parts),
        due: due(&asked, &registered).await?,
        find_slowest: asked.question.with(&[("slowest", "1")]),
        slowest: slowest(&asked, &scope, figures.now.p95).await?,
        latest: latest.iter().take(LATEST).map(Row::of).collect(),
        holding: holding(&latest),
        looked_at: latest.len(),
        offer: offer(&asked, entity),
        path,
        asked_for: asked_for(&asked, |it| it.target == target).await?,
        settings: settings(&registered),
        lost: lost.iter().map(|gap| lost_of(gap, entity)).sum(),
        explanation: explanation(&asked, &registered, &at).await?,
        at,
    })
}

/// The figures of the range, of as much time before, and of the same time a year earlier.
struct Summed {
    now: Stats,
    before: Stats,
    year_earlier: Stats,
}

impl Summed {
    async fn read(asked: &Asked, scope: &Scope) -> Result<Self, Refused> {
        let (from, to) = (asked.range.from.as_micros(), asked.range.to.as_micros());
        let of = async |from: i64, to: i64| {
            let bounds = vec![Timestamp::from_micros(from), Timestamp::from_micros(to)];
            let series = asked.history().series(scope.clone(), bounds).await;
            series.map(|all| all.into_iter().next().unwrap_or_default())
        };
        Ok(Self {
            now: of(from, to).await?,
            before: of(from.saturating_sub(to - from), from).await?,
            year_earlier: of(from.saturating_sub(YEAR_US), to.saturating_sub(YEAR_US)).await?,
        })
    }

    /// The parts of the range a year earlier, if anything ran then.
    async fn last_year(&self, asked: &Asked, scope: &Scope) -> Result<Vec<Stats>, Refused> {
        if self.year_earlier.runs() == 0 {
            return Ok(Vec::new());
        }
        let bounds = asked.range.parts().into_iter();
        let earlier =
            |at: Timestamp| Timestamp::from_micros(at.as_micros().saturating_sub(YEAR_US));
        let series = asked
            .history()
            .series(scope.clone(), bounds.map(earlier).collect());
        Ok(series.await?)
    }
}

/// Its executions in the range.
fn of_range(asked: &Asked, scope: &Scope) -> Filter {
    Filter {
        scope: scope.clone(),
        from: Some(asked.range.from),
        to: asked.range.window().to,
        ..Filter::default()
    }
}

async fn latest(asked: &Asked, scope: &Scope) -> Result<Vec<StoredExecution>, Refused> {
    let request = PageRequest::first(LOOKED_AT);
    let page = asked.history().executions(of_range(asked, scope), request);
    Ok(page.await?.items)
}

/// What became of the last times at which a job was due, the latest on the right.
async fn due(asked: &Asked, registered: &StoredRegistration) -> Result<Vec<Due>, Refused> {
    if registered.id.kind == EntityKind::Listener {
        return Ok(Vec::new());
    }
    let due = due_times(asked.history(), registered, DUE).await?;
    Ok(due.iter().rev().map(Due::of).collect())
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

/// The slowest of the latest that took as long as five of a hundred, the slowest first, if they were asked for.
async fn slowest(asked: &Asked, scope: &Scope, p95: Duration) -> Result<Option<Vec<Row>>, Refused> {
    if asked.question.one("slowest").is_none() {
        return Ok(None);
    }
    let slow = Filter {
        min_duration: Some(p95),
        ..of_range(asked, scope)
    };
    let request = PageRequest::first(CANDIDATES);
    let mut slow = asked.history().executions(slow, request).await?.items;
    slow.sort_by_key(|it| std::cmp::Reverse(it.record.duration));
    Ok(Some(slow.iter().take(SLOWEST).map(Row::of).collect()))
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
