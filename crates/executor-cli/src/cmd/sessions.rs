//! `executor sessions`: the processes that have written the history, a line each.

use std::process::ExitCode;

use command_executor::ports::SessionStatus;
use command_executor::{PageRequest, StoredSession, Timestamp};
use serde_json::{Value, json};

use crate::args::verbs::SessionsArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text};
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

pub(crate) async fn sessions(args: SessionsArgs) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&args.look)?;
    // One more tells whether there are more.
    let page = PageRequest::first(args.limit.saturating_add(1));
    let mut found = looking.history.sessions(page).await?.items;
    let has_more = found.len() > args.limit as usize;
    found.truncate(args.limit as usize);
    let text = match looking.json {
        true => plain::json_lines(found.iter().map(json_of)),
        false => table(&looking, &found, has_more),
    };
    console::print(text).await?;
    Ok(matched(!found.is_empty()))
}

fn table(looking: &Looking, found: &[StoredSession], has_more: bool) -> String {
    let mut columns = Columns::new([
        "STARTED", "ENDED", "LASTED", "STATUS", "STORED", "LOST", "PID", "HOST", "PROGRAM",
    ])
    .dispensable(["HOST", "PID", "LASTED"]);
    for stored in found {
        let session = &stored.session;
        let until = match stored.status {
            SessionStatus::Running => shown::now(),
            _ => stored.stopped_at.unwrap_or(stored.heartbeat_at),
        };
        let ended = match stored.status {
            SessionStatus::Running => String::new(),
            // Nobody saw it die: this was its last sign of life.
            SessionStatus::Crashed => format!("≥ {}", looking.zone.time(until)),
            _ => looking.zone.time(until),
        };
        columns.row([
            looking.zone.time(session.started_at).into(),
            ended.into(),
            Text::number(shown::took(
                until.saturating_duration_since(session.started_at),
            )),
            status_of(stored).into(),
            Text::number(stored_of(stored).to_string()),
            Text::number(stored.ledger.total_dropped().to_string()),
            Text::number(session.pid.to_string()),
            plain(&session.host).into(),
            program_of(stored).into(),
        ]);
    }
    let mut text = match found.is_empty() {
        true => String::new(),
        false => columns.text(),
    };
    text.push_str(&shown::counted(found.len() as u64, "session"));
    text.push_str(if has_more {
        ", and more: --limit\n"
    } else {
        "\n"
    });
    text
}

/// The store's own count is as new as the last row; the ledger is as old as the last sign of life.
const fn stored_of(stored: &StoredSession) -> u64 {
    match stored.counts.is_counted {
        true => stored.counts.stored,
        false => stored.ledger.stored,
    }
}

fn status_of(stored: &StoredSession) -> String {
    let status = stored.status.as_str();
    match &stored.failure {
        Some(failure) => format!("{status}: {}", plain(&failure.message)),
        None => status.to_owned(),
    }
}

fn program_of(stored: &StoredSession) -> String {
    let parts = [&stored.session.program, &stored.session.version];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| plain(part))
        .collect();
    parts.join(" ")
}

fn json_of(stored: &StoredSession) -> Value {
    let session = &stored.session;
    json!({
        "id": session.id.to_string(),
        "started_us": session.started_at.as_micros(),
        "heartbeat_us": stored.heartbeat_at.as_micros(),
        "stopped_us": stored.stopped_at.map(Timestamp::as_micros),
        "status": stored.status.as_str(),
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
    })
}
