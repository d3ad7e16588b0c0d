//! Now: whether anything is missing, what ran lately, what runs, what fails, what comes next, the last crash.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::ports::{Filter, PageRequest, Scope, SessionStatus, StoredSession};
use executor_core::{Status, Timestamp};
use executor_service::diagnosis::{Timer, is_alive, timers};
use serde::Serialize;

use crate::answer::Refused;
use crate::charts::{Part, Svg, outcomes};
use crate::pages::asked::{Asked, Site};
use crate::pages::failing::{Failing, Places, places};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::answer;
use crate::pages::parts::{Moment, PartRow, Row, failed, failures, parts};
use crate::pages::processes::{Down, downs, drawn_of, name};
use crate::pages::running::{Process, processes_of};
use crate::pages::slower::{Slower, slower};
use crate::shown::{self, counted};

/// How many of a kind are named.
const NAMED: usize = 8;

/// What is looked at before and after a crash.
const AROUND: Duration = Duration::from_secs(120);

/// How many failures are grouped.
const FAILURES_MAX: u64 = 500;

#[derive(Template, Serialize)]
#[template(path = "now.html")]
struct Now {
    frame: Frame,
    runs: u64,
    failed: u64,
    #[serde(skip)]
    summary: String,
    #[serde(skip)]
    chart: Svg,
    #[serde(skip)]
    counted: String,
    parts: Vec<PartRow>,
    /// The latest times in which no process ran.
    downs: Vec<Down>,
    slower: Vec<Slow>,
    slower_than: String,
    /// The process that ended last.
    last: Option<Last>,
    processes: Vec<Process>,
    failing: Vec<Failing>,
    /// How far back failures were grouped, if there were more.
    #[serde(rename = "looked_to_us")]
    looked_to: Option<Moment>,
    next: Vec<Next>,
    crash: Option<Crash>,
}

impl Framed for Now {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// A process that has ended.
#[derive(Serialize)]
struct Last {
    name: String,
    how: &'static str,
    #[serde(rename = "at_us")]
    at: Moment,
}

impl Last {
    fn of(stored: &StoredSession) -> Self {
        Self {
            name: name(stored),
            how: how(stored),
            at: Moment(stored.stopped_at.unwrap_or(stored.heartbeat_at)),
        }
    }
}

/// How a process ended.
const fn how(stored: &StoredSession) -> &'static str {
    match stored.status {
        SessionStatus::Success => "was shut down in order",
        SessionStatus::Failure => "failed",
        SessionStatus::Crashed => "crashed",
        SessionStatus::Running => "has been silent since",
    }
}

/// From when to when a chart counts: it has whole parts.
fn counted_hours(parts: &[Part]) -> String {
    let ends = parts.first().zip(parts.last());
    let said = ends.map(|(first, last)| {
        let (from, to) = (shown::dated(first.from), shown::dated(last.to));
        format!("The chart counts whole parts of time, from {from} to {to}.")
    });
    said.unwrap_or_default()
}

/// Something that became slower, and its page.
#[derive(Serialize)]
struct Slow {
    #[serde(flatten)]
    slower: Slower,
    #[serde(skip)]
    path: Option<String>,
}

/// A run to come.
#[derive(Serialize)]
struct Next {
    what: String,
    schedule: String,
    #[serde(rename = "at_us")]
    at: Moment,
    #[serde(skip)]
    left: String,
}

/// The last process that did not end well.
#[derive(Serialize)]
struct Crash {
    #[serde(flatten)]
    process: Last,
    /// Shows what the service manager has of that time.
    journal: String,
    message: String,
    interrupted: Vec<Row>,
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, make).await
}

async fn make(asked: Asked) -> Result<Now, Refused> {
    let (history, now) = (asked.history(), shown::now());
    let (live, sessions) = (asked.live().await, asked.sessions().await?);
    let parts = parts(&asked, Scope::All, None, &[]).await?;
    let downs = downs(sessions, &asked.range);
    let processes = drawn_of(&asked).await?;
    let ended = sessions.iter().filter(|it| !is_alive(it, live, now));
    let last = ended.max_by_key(|it| it.stopped_at.unwrap_or(it.heartbeat_at));
    let sessions_last = last.map(Last::of);
    let all = history.overall(asked.range.window()).await?;
    let (runs, failed) = (all.runs(), failed(&all));
    let grouped = failures(&asked, FAILURES_MAX).await?;
    let places = places(&asked).await?;
    let compared = slower(&asked).await?;
    let failing = grouped.groups.iter().take(NAMED);
    let failing = failing
        .map(|it| Failing::of(it, sessions, &places))
        .collect();
    let (living, ended): (Vec<_>, Vec<_>) = sessions
        .iter()
        .cloned()
        .partition(|stored| is_alive(stored, live, now));
    Ok(Now {
        frame: asked.timeless_frame("Now", "status").await?,
        runs,
        failed,
        summary: format!(
            "{}, {} failed",
            counted(runs, "execution"),
            shown::grouped(failed)
        ),
        chart: outcomes(&parts, &processes),
        counted: counted_hours(&parts),
        downs: downs.iter().rev().take(NAMED).cloned().collect(),
        slower: slow(compared.slower, &places),
        slower_than: compared.than,
        last: sessions_last,
        parts: PartRow::all(&parts),
        failing,
        looked_to: grouped.looked_to.map(Moment),
        next: next(&timers(history, None, &living, now).await?, now),
        crash: crash(&asked, &ended).await?,
        processes: processes_of(&asked, &living).await?,
    })
}

fn slow(slower: Vec<Slower>, places: &Places) -> Vec<Slow> {
    let slower = slower.into_iter().take(NAMED).map(|slower| Slow {
        path: places.of_entity(&slower.entity),
        slower,
    });
    slower.collect()
}

fn next(timers: &[Timer], now: Timestamp) -> Vec<Next> {
    let next = timers.iter().filter_map(|timer| {
        let at = timer.next?;
        Some(Next {
            what: timer.entity.path(),
            schedule: timer.plan.text.clone(),
            at: Moment(at),
            left: shown::took(at.saturating_duration_since(now)),
        })
    });
    next.take(NAMED).collect()
}

async fn crash(asked: &Asked, ended: &[StoredSession]) -> Result<Option<Crash>, Refused> {
    let wrong = ended
        .iter()
        .filter(|it| it.status != SessionStatus::Success);
    // A process that began long ago may be the last that died.
    let Some(stored) = wrong.max_by_key(|it| it.stopped_at.unwrap_or(it.heartbeat_at)) else {
        return Ok(None);
    };
    let filter = Filter {
        scope: Scope::Session(stored.session.id),
        statuses: vec![Status::Interrupted],
        ..Filter::default()
    };
    let request = PageRequest::first(NAMED as u32);
    let page = asked.history().executions(filter, request).await?;
    let last = stored.stopped_at.unwrap_or(stored.heartbeat_at);
    Ok(Some(Crash {
        process: Last::of(stored),
        journal: format!(
            "journalctl --since '{}' --until '{}'",
            shown::field(last.saturating_sub(AROUND)).replace('T', " "),
            shown::field(last.saturating_add(AROUND)).replace('T', " ")
        ),
        message: stored
            .failure
            .as_ref()
            .map_or_else(String::new, |it| it.message.clone()),
        interrupted: page.items.iter().map(Row::of).collect(),
    }))
}
