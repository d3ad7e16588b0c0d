//! `executor sessions`: the processes that have written the history, a line each.

use std::collections::HashSet;
use std::process::ExitCode;

use command_executor::ports::SessionStatus;
use command_executor::{PageRequest, SessionId, StoredSession, Timestamp};
use serde_json::{Value, json};

use crate::args::verbs::SessionsArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text};
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

pub(crate) async fn sessions(looking: &Looking, args: SessionsArgs) -> Result<ExitCode, Failure> {
    let (found, has_more) = latest(looking, args.limit).await?;
    let living = looking.living().await?;
    let living: HashSet<SessionId> = living.iter().map(|it| it.session.id).collect();
    let mut seen = Vec::new();
    for stored in &found {
        let end = looking.last_sign(stored).await?;
        seen.push(Seen::new(stored, end, &living));
    }
    let text = match looking.json {
        true => plain::json_lines(seen.iter().map(json_of)),
        false => {
            let count = shown::counted(seen.len() as u64, "session");
            let more = if has_more { ", and more: --limit" } else { "" };
            format!("{}{count}{more}\n", table(looking, &seen))
        }
    };
    console::print(text).await?;
    Ok(matched(!found.is_empty()))
}

/// Returns the latest sessions, and whether there are more.
async fn latest(looking: &Looking, limit: u32) -> Result<(Vec<StoredSession>, bool), Failure> {
    // One more tells whether there are more.
    let page = PageRequest::first(limit.saturating_add(1));
    let page = looking.history.sessions(page).await?;
    let mut found = page.items;
    // A full page has a next one, also if some of its sessions cannot be read.
    let has_more = found.len() > limit as usize || page.next.is_some();
    found.truncate(limit as usize);
    Ok((found, has_more))
}

/// A session, its end or its last sign of life, and whether it is alive.
struct Seen<'s> {
    stored: &'s StoredSession,
    until: Timestamp,
    is_alive: bool,
}

impl<'s> Seen<'s> {
    fn new(stored: &'s StoredSession, end: Timestamp, living: &HashSet<SessionId>) -> Self {
        let is_alive = living.contains(&stored.session.id);
        let until = match is_alive {
            true => shown::now(),
            false => end,
        };
        Self {
            stored,
            until,
            is_alive,
        }
    }

    fn row(&self, looking: &Looking) -> [Text; 10] {
        let Self { stored, until, .. } = self;
        let session = &stored.session;
        let lasted = until.saturating_duration_since(session.started_at);
        [
            looking.zone.time(session.started_at).into(),
            session.id.short().into(),
            self.ended(looking).into(),
            Text::number(shown::took(lasted)),
            self.status().to_owned().into(),
            Text::number(stored_of(stored).to_string()),
            Text::number(stored.ledger.total_dropped().to_string()),
            Text::number(session.pid.to_string()),
            plain(&session.host).into(),
            program_of(stored).into(),
        ]
    }

    fn ended(&self, looking: &Looking) -> String {
        let until = looking.zone.time(self.until);
        match (self.is_alive, self.stored.status) {
            (true, _) => String::new(),
            // Nobody saw it die: this was its last sign of life.
            (_, SessionStatus::Running | SessionStatus::Crashed) => format!("≥ {until}"),
            _ => until,
        }
    }

    const fn status(&self) -> &'static str {
        match (self.is_alive, self.stored.status) {
            (false, SessionStatus::Running) => "silent",
            (_, status) => status.as_str(),
        }
    }
}

fn table(looking: &Looking, seen: &[Seen<'_>]) -> String {
    if seen.is_empty() {
        return String::new();
    }
    let mut columns = Columns::new([
        "STARTED", "ID", "ENDED", "LASTED", "STATUS", "STORED", "LOST", "PID", "HOST", "PROGRAM",
    ])
    .dispensable(["ID", "HOST", "PID", "LASTED"]);
    for session in seen {
        columns.row(session.row(looking));
    }
    columns.text()
}

/// The store's own count is as new as the last row; the ledger is as old as the last sign of life.
const fn stored_of(stored: &StoredSession) -> u64 {
    match stored.counts.is_counted {
        true => stored.counts.stored,
        false => stored.ledger.stored,
    }
}

fn program_of(stored: &StoredSession) -> String {
    let parts = [&stored.session.program, &stored.session.version];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| plain(part))
        .collect();
    let program = parts.join(" ");
    match &stored.failure {
        Some(failure) => format!("{program}: {}", plain(&failure.message)),
        None => program,
    }
}

fn json_of(seen: &Seen<'_>) -> Value {
    let stored = seen.stored;
    let session = &stored.session;
    json!({
        "id": session.id.to_string(),
        "started_us": session.started_at.as_micros(),
        "heartbeat_us": stored.heartbeat_at.as_micros(),
        "stopped_us": stored.stopped_at.map(Timestamp::as_micros),
        "status": stored.status.as_str(),
        "is_alive": seen.is_alive,
        "failure": stored.failure.as_ref().map(|failure| &failure.message),
        "host": session.host,
        "pid": session.pid,
        "program": session.program,
        "version": session.version,
        "stored": stored_of(stored),
        "lost": stored.ledger.total_dropped(),
        "spooled": stored.ledger.spooled,
        "pruned": stored.counts.pruned,
        "taken_over": stored.counts.taken_over,
        "clock_ahead_us": stored.by_server.map(|it| it.clock_ahead_us),
    })
}
