//! What processes that are alive run right now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use executor_core::lines::Lines;
use executor_core::ports::{LiveSession, RunningExecution, StoredSession};
use executor_core::{Entity, EntityKind, Timestamp};
use serde::Serialize;

use crate::answer::Refused;
use crate::pages::asked::{Acting, Asked};
use crate::pages::parts::{Moment, registrations};
use crate::shown;

/// How many executions of a process are named.
const NAMED: usize = 20;

/// A process that is alive.
#[derive(Serialize)]
pub(crate) struct Process {
    pub(crate) program: String,
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    #[serde(rename = "since_us")]
    pub(crate) since: Moment,
    #[serde(skip)]
    pub(crate) up: String,
    pub(crate) waiting: u64,
    /// What it runs; `None` if that cannot be seen from here.
    pub(crate) running: Option<Vec<Running>>,
    /// How many more.
    pub(crate) unlisted: u64,
    /// What a form has to show, if what it runs can be cancelled from here.
    #[serde(skip)]
    pub(crate) nonce: Option<String>,
}

/// How long executions may take.
type Deadlines = HashMap<Arc<Entity>, Duration>;

/// An execution that goes on.
#[derive(Serialize)]
pub(crate) struct Running {
    pub(crate) id: String,
    pub(crate) short_id: String,
    pub(crate) what: String,
    #[serde(rename = "started_us")]
    pub(crate) started: Moment,
    #[serde(skip)]
    pub(crate) elapsed: String,
    /// When it will be ended, if it has a deadline.
    #[serde(rename = "deadline_us")]
    pub(crate) deadline: Option<Moment>,
    /// How long it may take.
    #[serde(skip)]
    pub(crate) allowed: String,
    pub(crate) last_line: String,
}

impl Running {
    fn of(running: &RunningExecution, deadlines: &Deadlines, now: Timestamp) -> Self {
        let timeout = deadlines.get(&running.entity).copied();
        Self {
            deadline: timeout.map(|it| Moment(running.started_at.saturating_add(it))),
            allowed: timeout.map(shown::took).unwrap_or_default(),
            id: running.execution_id.to_string(),
            short_id: running.execution_id.short(),
            what: running.entity.path(),
            started: Moment(running.started_at),
            elapsed: shown::took(now.saturating_duration_since(running.started_at)),
            last_line: running.lines.as_ref().map_or_else(String::new, last_line),
        }
    }
}

/// The processes that are alive, and what each runs.
pub(crate) async fn processes_of(
    asked: &Asked,
    living: &[StoredSession],
) -> Result<Vec<Process>, Refused> {
    let (live, deadlines) = (asked.live().await, deadlines(asked).await?);
    let processes = living.iter().map(|it| process(asked, live, it, &deadlines));
    Ok(processes.collect())
}

/// How long each listener and job may take, of those that something is running of.
async fn deadlines(asked: &Asked) -> Result<Deadlines, Refused> {
    let running = asked.live().await.iter().map(|it| it.running.len());
    let mut deadlines = Deadlines::new();
    if running.sum::<usize>() > 0 {
        for kind in EntityKind::ALL {
            for registered in registrations(asked, kind).await? {
                let registration = registered.registration;
                if let Some(timeout) = registration.details.timeout {
                    deadlines.insert(registration.entity, timeout);
                }
            }
        }
    }
    Ok(deadlines)
}

fn process(
    asked: &Asked,
    live: &[LiveSession],
    stored: &StoredSession,
    deadlines: &Deadlines,
) -> Process {
    let (session, now) = (&stored.session, shown::now());
    let here = live.iter().find(|it| it.session.id == session.id);
    let seen = here.filter(|it| it.unreadable.is_none());
    let running: Option<Vec<Running>> = seen.map(|live| {
        let named = live.running.iter().take(NAMED);
        let running = named.map(|it| Running::of(it, deadlines, now));
        running.collect()
    });
    let acting = asked.site.acting.as_ref();
    let acting = acting.filter(|it| it.actions.session() == session.id);
    let listed = running.as_ref().map_or(0, Vec::len);
    Process {
        program: session.program.clone().unwrap_or_default(),
        version: session.version.clone().unwrap_or_default(),
        host: session.host.clone(),
        pid: session.pid,
        since: Moment(session.started_at),
        up: shown::took(now.saturating_duration_since(session.started_at)),
        waiting: here.map_or(0, |it| it.waiting),
        unlisted: here.map_or(0, |it| (it.running.len() - listed + it.unlisted) as u64),
        running,
        nonce: acting.and_then(Acting::nonce),
    }
}

fn last_line(lines: &Lines) -> String {
    let said = lines.iter().filter(|line| !line.text.trim().is_empty());
    said.last()
        .map_or_else(String::new, |line| line.text.to_owned())
}
