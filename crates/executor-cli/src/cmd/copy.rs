//! `executor copy`: brings a history from one database into another.

use std::process::ExitCode;

use command_executor::{Copied, CopyProgress, CopyStage};
use indicatif::HumanCount;
use serde_json::{Map, json};

use crate::args::verbs::CopyArgs;
use crate::exit::Failure;
use crate::output::{console, plain, shown};
use crate::wire;

pub(crate) async fn copy(args: CopyArgs) -> Result<ExitCode, Failure> {
    let copied = wire::copy(args.from.clone(), args.to.clone(), show).await?;
    console::show(String::new());
    let text = match args.json {
        true => plain::json_lines([for_machines(&copied)]),
        false => for_people(&copied, &wire::shown(&args.to)),
    };
    console::print(text).await?;
    Ok(ExitCode::SUCCESS)
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
    let mut text = format!(
        "copied {} of {} to `{to}`, {} with what they said\n",
        count(copied.executions, "execution"),
        count(copied.sessions.len() as u64, "session"),
        HumanCount(copied.with_lines),
    );
    if copied.is_resumed {
        let were_there = HumanCount(copied.were_there);
        text += &format!("{were_there} of them were there from a copy that was interrupted\n");
    }
    let others: u64 = copied.tables.iter().map(|(_, rows)| rows).sum();
    text += &format!(
        "also {} and {} of other tables\n",
        count(copied.rollups, "rollup"),
        count(others, "row"),
    );
    text + "all of it was read again: the same rows, by number and checksum, session by session\n"
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
