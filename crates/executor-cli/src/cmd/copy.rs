//! `executor copy`: brings a history from one database into another.

use std::process::ExitCode;

use command_executor::inspect::MachineSpools;
use command_executor::ports::LiveState as _;
use command_executor::{Copied, CopyProgress, CopyStage};
use indicatif::HumanCount;
use serde_json::{Map, json};

use crate::args::verbs::CopyArgs;
use crate::cmd::run::signals::Signals;
use crate::exit::{CUT_OFF, Failure};
use crate::output::{console, plain, shown};
use crate::wire;

pub(crate) async fn copy(args: CopyArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen().map_err(Failure::Signals)?;
    let copied = tokio::select! {
        copied = wire::copy(args.from.clone(), args.to.clone(), show) => copied?,
        () = signals.next() => {
            console::say("executor: interrupted; the same copy goes on from here");
            return Ok(ExitCode::from(CUT_OFF));
        }
    };
    console::show(String::new());
    if let Some(waiting) = waiting(&args.from).await? {
        console::say(&waiting);
    }
    let text = match args.json {
        true => plain::json_lines([for_machines(&copied)]),
        false => for_people(&copied, &plain::plain(&wire::shown(&args.to))),
    };
    console::print(text).await?;
    Ok(ExitCode::SUCCESS)
}

/// What is not in the source yet, as far as the spools of this machine tell.
async fn waiting(from: &str) -> Result<Option<String>, Failure> {
    let Some(spools) = wire::spools(from)?.filter(|spools| spools.exists()) else {
        return Ok(None);
    };
    let dir = plain::plain(&spools.to_string_lossy());
    // What cannot be read is no failure of the copy; `doctor` tells of it.
    let sessions = MachineSpools::new(spools).sessions().await;
    let sessions = sessions.unwrap_or_default();
    let waiting: u64 = sessions.iter().map(|it| it.waiting).sum();
    Ok((waiting > 0).then(|| {
        format!(
            "not copied: {} that still wait in the spools of the source, `{dir}`; where their processes have ended, \
             `executor spool replay` brings them to the database that --db names",
            shown::counted(waiting, "record")
        )
    }))
}

fn show(progress: CopyProgress) {
    let what = match progress.stage {
        CopyStage::Verifying => "verified",
        _ => "copied",
    };
    let (done, total) = (HumanCount(progress.done), HumanCount(progress.total));
    console::show(format!("{what} {done} of {total} executions"));
}

fn for_people(copied: &Copied, to: &str) -> String {
    let count = shown::counted;
    let executions = count(copied.executions, "execution");
    let sessions = count(copied.sessions.len() as u64, "session");
    let mut text = format!("copied {executions} of {sessions} to `{to}`");
    if copied.with_lines > 0 {
        text += &format!(", {} with what they said", copied.with_lines);
    }
    if copied.were_there > 0 {
        text += &format!("; {} were there from an earlier attempt", copied.were_there);
    }
    let rows = copied.tables.iter().map(|(_, rows)| rows).sum();
    let (rollups, rows) = (count(copied.rollups, "rollup"), count(rows, "row"));
    text += &format!("\nand {rollups} and {rows} of other tables\n");
    text + "all of it was read again, and is the same by number and checksum, session by session\n"
}

fn for_machines(copied: &Copied) -> serde_json::Value {
    let tables = copied.tables.iter();
    let tables: Map<String, _> = tables
        .map(|(name, rows)| ((*name).to_owned(), json!(rows)))
        .collect();
    let sessions = copied.sessions.iter();
    let sessions: Vec<_> = sessions
        .map(|(session, executions)| json!({ "session": session.to_string(), "executions": executions }))
        .collect();
    json!({
        "executions": copied.executions,
        "with_lines": copied.with_lines,
        "were_there": copied.were_there,
        "resumed": copied.is_resumed,
        "rollups": copied.rollups,
        "tables": tables,
        "sessions": sessions,
    })
}
