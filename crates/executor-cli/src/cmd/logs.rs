//! `executor logs`: what executions said.

use std::process::ExitCode;
use std::time::Duration;

use command_executor::lines::{Line, LineKind};
use command_executor::ports::all_pages;
use command_executor::{PageRequest, StoredExecution, Timestamp, Window};

use crate::args::verbs::{LogsArgs, Selection, What};
use crate::cmd::following::{EVERY, Following};
use crate::cmd::looking::{Looking, window_of};
use crate::exit::{Failure, matched};
use crate::output::columns::wrapped;
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

pub(crate) async fn logs(looking: &Looking, args: LogsArgs) -> Result<ExitCode, Failure> {
    let mut selection = args.selection;
    let grep = args.grep.as_deref();
    let one = args.what.as_deref().filter(|what| !what.contains('/'));
    if let Some(what) = one {
        if !selection.is_empty() || args.follow {
            return Err(Failure::NothingToSelect { what: plain(what) });
        }
        let found = vec![looking.one(what).await?];
        return print(looking, &found, grep).await;
    }
    if let Some(what) = args.what {
        let what: What = what.parse().map_err(|what| Failure::NotFound { what })?;
        (selection.app, selection.name) = (Some(what.app), Some(what.name));
        selection.instance = what.instance;
    }
    // Before those that are shown: what is stored in between is in neither else.
    let following = match args.follow {
        true => Some(Following::begin(looking, &selection, grep).await?),
        false => None,
    };
    let request = PageRequest::first(args.limit);
    let (mut found, has_more) = looking.select(&selection, request, grep).await?;
    // The latest comes last, as in a log.
    found.reverse();
    match following {
        Some(following) => follow(looking, &selection, grep, following, found).await,
        None => {
            let code = print(looking, &found, grep).await?;
            // Of a part nobody asks what is missing of the whole.
            if !looking.json && !has_more {
                let missing = looking
                    .missing(window_of(&selection), |it| selection.is_about(it))
                    .await?;
                missing.iter().for_each(|missing| console::say(missing));
            }
            Ok(code)
        }
    }
}

async fn print(
    looking: &Looking,
    found: &[StoredExecution],
    grep: Option<&str>,
) -> Result<ExitCode, Failure> {
    let mut text = text_of(looking, found, grep).await?;
    let nothing = text.is_empty();
    if nothing && !looking.json {
        text.push_str("no lines\n");
    }
    console::print(text).await?;
    if let Some(pruned) = pruned_of(looking, found).await? {
        console::say(&pruned);
    }
    Ok(matched(!nothing))
}

/// Says how many executions have lost their lines, of the time of those that were found.
async fn pruned_of(
    looking: &Looking,
    found: &[StoredExecution],
) -> Result<Option<String>, Failure> {
    let ends = found.iter().map(|it| it.record.ended_at());
    let (Some(first), Some(last)) = (ends.clone().min(), ends.max()) else {
        return Ok(None);
    };
    let window = Window {
        to: Some(last.saturating_add(Duration::from_micros(1))),
        ..Window::since(first)
    };
    let history = &looking.history;
    let prunes = all_pages(|page| history.prunes(window.clone(), page)).await?;
    let of_lines = prunes.iter().filter(|prune| !prune.is_of_executions());
    let count: u64 = of_lines.map(|prune| prune.count).sum();
    Ok((count > 0).then(|| {
        let executions = shown::counted(count, "execution");
        format!("of that time, what {executions} said (of all listeners and jobs) was pruned")
    }))
}

/// Prints what was found, and goes on until nobody reads it any more.
async fn follow(
    looking: &Looking,
    selection: &Selection,
    grep: Option<&str>,
    mut following: Following,
    mut found: Vec<StoredExecution>,
) -> Result<ExitCode, Failure> {
    following.note(&found);
    loop {
        let said = text_of(looking, &found, grep).await;
        if let Some(text) = following.unless_away(said)? {
            found.clear();
            if !text.is_empty() && !console::is_read(&text)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        tokio::time::sleep(EVERY).await;
        found.extend(following.look(looking, selection, grep).await?);
    }
}

async fn text_of(
    looking: &Looking,
    found: &[StoredExecution],
    grep: Option<&str>,
) -> Result<String, Failure> {
    let mut text = String::new();
    for execution in found {
        let id = execution.record.execution_id;
        let whole = looking.history.execution(id).await?;
        text.extend(whole.and_then(|execution| one(looking, &execution, grep)));
    }
    Ok(text)
}

/// `None` if it has no line with the text.
fn one(looking: &Looking, execution: &StoredExecution, grep: Option<&str>) -> Option<String> {
    let lines = lines_of(looking, execution, grep);
    if grep.is_some() && lines.is_empty() {
        return None;
    }
    Some(match looking.json {
        true => plain::json_lines([shown::json_of(execution)]),
        false => format!(
            "{}{lines}",
            wrapped(&format!("{}\n", heading(looking, execution)))
        ),
    })
}

/// The execution itself, above what it said.
pub(crate) fn heading(looking: &Looking, execution: &StoredExecution) -> String {
    let record = &execution.record;
    let name = shown::name_of(&record.subject.entity);
    let (at, took) = (
        looking.zone.time(record.ended_at()),
        shown::took_of(execution),
    );
    let code = record
        .exit_code
        .map(|code| format!("  exit status {code}"))
        .unwrap_or_default();
    let (status, id) = (record.status.as_str(), record.execution_id.short());
    format!("{at}  {id}  {name}  {status}{code}  {took}")
}

/// Its lines, indented; those with a text, or all.
pub(crate) fn lines_of(
    looking: &Looking,
    execution: &StoredExecution,
    grep: Option<&str>,
) -> String {
    let record = &execution.record;
    let grep = grep.map(str::to_ascii_lowercase);
    let fits = |line: &Line<'_>| {
        let text = line.text.to_ascii_lowercase();
        grep.as_ref()
            .is_none_or(|grep| text.contains(grep.as_str()))
    };
    let lines = record.lines.iter().flat_map(|lines| lines.iter());
    let mut text: String = lines
        .filter(fits)
        .map(|line| of_line(looking, record.started_at, &line))
        .collect();
    if record.lines.as_ref().is_some_and(|lines| lines.is_binary()) {
        let bytes = record.lines.as_ref().map_or(0, |lines| lines.total_bytes());
        text.push_str(&format!("    ({bytes} bytes of binary output)\n"));
    }
    if let (true, Some(failure)) = (text.is_empty() && grep.is_none(), &record.failure) {
        text.push_str(&format!("    {}\n", plain(&failure.message)));
    }
    text
}

fn of_line(looking: &Looking, started_at: Timestamp, line: &Line<'_>) -> String {
    let text = plain(line.text);
    if line.kind == LineKind::LeftOut {
        return format!("    … {text} …\n");
    }
    let at = looking.zone.time(started_at.saturating_add(line.after));
    let kind = match line.kind {
        LineKind::Stdout => "out",
        LineKind::Stderr => "err",
        kind => kind.as_str(),
    };
    let target = match line.target {
        "" => String::new(),
        target => format!("{}: ", plain(target)),
    };
    let mark = if line.is_unfinished { "…" } else { "" };
    format!("    {at} {kind:<5} {target}{text}{mark}\n")
}
