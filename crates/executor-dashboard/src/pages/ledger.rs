//! Ledger: what every process has recorded and lost, the episodes of loss, what was pruned, and planned runs that were
//! missed.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::ports::{
    Gap, LiveSession, MissedRuns, PageRequest, SessionStatus, StoredPrune, StoredSession, all_pages,
};
use executor_core::{DropReason, Timestamp};
use executor_service::diagnosis::is_alive;
use serde::Serialize;

use crate::answer::Refused;
use crate::pages::acting::Done;
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::handlers::why;
use crate::pages::making::answer;
use crate::pages::parts::{Moment, gaps, missed_runs};
use crate::pages::processes::{Down, downs};
use crate::shown;

/// The latest sessions, episodes, prunes and missed runs that are shown.
const SHOWN_MAX: usize = 100;

#[derive(Template, Serialize)]
#[template(path = "ledger.html")]
struct Ledger {
    frame: Frame,
    sessions: Vec<Session>,
    /// How many more there are.
    more_sessions: usize,
    gaps: Vec<Lost>,
    /// The latest times in which no process ran.
    downs: Vec<Down>,
    prunes: Vec<Pruned>,
    missed: Vec<Missed>,
    /// What people asked executors to do.
    actions: Vec<Done>,
    has_more_actions: bool,
    /// How many more there are of each.
    more_gaps: usize,
    more_missed: usize,
    more_prunes: usize,
}

impl Framed for Ledger {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// A span of time for a link, with a margin before and after.
fn span(from: Timestamp, to: Timestamp, margin: Duration) -> String {
    let (from, to) = (from.saturating_sub(margin), to.saturating_add(margin));
    format!("since={}&until={}", from.as_micros(), to.as_micros())
}

/// What is shown around a loss or a missed run.
const AROUND: Duration = Duration::from_secs(600);

#[derive(Serialize)]
struct Session {
    /// All of its time, as a query.
    #[serde(skip)]
    span: String,
    id: String,
    program: String,
    version: String,
    host: String,
    pid: u32,
    status: &'static str,
    #[serde(rename = "started_us")]
    started: Moment,
    #[serde(rename = "last_seen_us")]
    last_seen: Moment,
    offered: u64,
    /// Of earlier processes.
    recovered: u64,
    stored: u64,
    waiting: u64,
    /// By the recording policy.
    left_out: u64,
    lost: u64,
    pruned: u64,
}

#[derive(Serialize)]
struct Lost {
    #[serde(skip)]
    span: String,
    reason: String,
    #[serde(skip)]
    why: &'static str,
    count: u64,
    #[serde(rename = "first_us")]
    first: Moment,
    #[serde(rename = "last_us")]
    last: Moment,
    session: String,
    of: Vec<String>,
}

#[derive(Serialize)]
struct Pruned {
    rule: String,
    count: u64,
    #[serde(rename = "first_us")]
    first: Moment,
    #[serde(rename = "last_us")]
    last: Moment,
}

#[derive(Serialize)]
struct Missed {
    #[serde(skip)]
    span: String,
    what: String,
    count: u64,
    reason: String,
    #[serde(rename = "first_due_us")]
    first: Moment,
    #[serde(rename = "last_due_us")]
    last: Moment,
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, make).await
}

async fn make(asked: Asked) -> Result<Ledger, Refused> {
    let (history, window) = (asked.history(), asked.range.window());
    let (live, sessions) = (asked.live().await, asked.sessions().await?);
    let prunes = all_pages(|page| history.prunes(window.clone(), page)).await?;
    let missed = missed_runs(&asked).await?;
    let lost = gaps(&asked, &asked.range).await?;
    let actions = history.actions(window, PageRequest::first(SHOWN_MAX as u32));
    let actions = actions.await?;
    let latest = sessions.iter().take(SHOWN_MAX);
    let downs = downs(sessions, &asked.range).into_iter().rev();
    Ok(Ledger {
        downs: downs.take(SHOWN_MAX).collect(),
        frame: asked.timeless_frame("Ledger", "sessions").await?,
        sessions: latest.map(|it| session(it, live)).collect(),
        more_sessions: sessions.len().saturating_sub(SHOWN_MAX),
        gaps: lost.iter().take(SHOWN_MAX).map(Lost::of).collect(),
        more_gaps: lost.len().saturating_sub(SHOWN_MAX),
        missed: missed.iter().take(SHOWN_MAX).map(Missed::of).collect(),
        more_missed: missed.len().saturating_sub(SHOWN_MAX),
        prunes: prunes.iter().take(SHOWN_MAX).map(Pruned::of).collect(),
        more_prunes: prunes.len().saturating_sub(SHOWN_MAX),
        actions: actions.items.iter().map(Done::of).collect(),
        has_more_actions: actions.next.is_some(),
    })
}

impl Lost {
    fn of(gap: &Gap) -> Self {
        Self {
            span: span(gap.first_at, gap.last_at, AROUND),
            why: lost_because(gap.reason.as_str()),
            reason: gap.reason.as_str().to_owned(),
            count: gap.count,
            first: Moment(gap.first_at),
            last: Moment(gap.last_at),
            session: gap.session.to_string(),
            of: gap.entities.iter().map(|(it, _)| it.path()).collect(),
        }
    }
}

impl Missed {
    fn of(missed: &MissedRuns) -> Self {
        Self {
            span: span(missed.first_due, missed.last_due, AROUND),
            what: missed.entity.path(),
            count: missed.count,
            reason: why(missed.reason).to_owned(),
            first: Moment(missed.first_due),
            last: Moment(missed.last_due),
        }
    }
}

impl Pruned {
    fn of(prune: &StoredPrune) -> Self {
        Self {
            rule: prune.rule.clone(),
            count: prune.count,
            first: Moment(prune.first_at),
            last: Moment(prune.last_at),
        }
    }
}

fn session(stored: &StoredSession, live: &[LiveSession]) -> Session {
    let (session, ledger) = (&stored.session, &stored.ledger);
    let here = live.iter().find(|it| it.session.id == session.id);
    let ledger = here.and_then(|it| it.ledger).unwrap_or(*ledger);
    let last = stored.stopped_at.unwrap_or(stored.heartbeat_at);
    Session {
        span: span(session.started_at, last, Duration::from_secs(60)),
        id: session.id.to_string(),
        program: session.program.clone().unwrap_or_default(),
        version: session.version.clone().unwrap_or_default(),
        host: session.host.clone(),
        pid: session.pid,
        status: match stored.status {
            SessionStatus::Running if is_alive(stored, live, shown::now()) => "running",
            SessionStatus::Running => "silent",
            SessionStatus::Crashed => "crashed",
            SessionStatus::Success => "ended",
            SessionStatus::Failure => "failed",
        },
        started: Moment(session.started_at),
        last_seen: Moment(stored.stopped_at.unwrap_or(stored.heartbeat_at)),
        offered: ledger.offered,
        stored: ledger.stored,
        recovered: ledger.recovered,
        left_out: ledger.filtered,
        waiting: ledger.waiting + ledger.spooled,
        lost: DropReason::ALL.iter().map(|it| ledger.dropped(*it)).sum(),
        pruned: stored.counts.pruned,
    }
}

/// What a reason means. The executions themselves ran.
fn lost_because(reason: &str) -> &'static str {
    match reason {
        "overflow" => {
            "they ran, but the queue of records was full: a spool, or a larger queue, keeps them"
        }
        "shutdown" => "they ran, but the process ended before they were stored",
        "rolled_back" => "they were stored, and a standby that took over did not have them",
        "damaged" => "they ran, and their spool was damaged",
        _ => "they ran, and the store did not take them",
    }
}
