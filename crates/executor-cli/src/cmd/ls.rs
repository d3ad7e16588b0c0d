//! `executor ls`: executions, a line each.

use std::process::ExitCode;

use command_executor::{Order, PageRequest, Status, StoredExecution, Window};

use crate::args::verbs::{FAILED, LsArgs};
use crate::cmd::following::{EVERY, Following};
use crate::cmd::looking::{Looking, window_of};
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text};
use crate::output::{console, plain, shown};

pub(crate) async fn ls(looking: &Looking, args: LsArgs) -> Result<ExitCode, Failure> {
    let order = match args.reverse {
        true => Order::OldestFirst,
        false => Order::LatestFirst,
    };
    let request = PageRequest {
        order,
        ..PageRequest::first(args.limit)
    };
    // Before those that are shown: what is stored in between is in neither else.
    let following = match args.follow {
        true => Some(Following::begin(looking, &args.selection, None).await?),
        false => None,
    };
    let (mut found, has_more) = looking.select(&args.selection, request, None).await?;
    if let Some(mut following) = following {
        found.reverse();
        following.note(&found);
        return follow(looking, &args, &mut following, found).await;
    }
    if looking.json {
        let lines = plain::json_lines(found.iter().map(shown::json_of));
        console::print(lines).await?;
        return Ok(matched(!found.is_empty()));
    }
    with_last_words(looking, &mut found).await?;
    let mut shown = shown::counted(found.len() as u64, "execution");
    let mut window = window_of(&args.selection);
    if has_more {
        shown.push_str(", and more: --limit");
        narrow_to(&mut window, &found, order);
    }
    let footer = looking
        .footer(shown, window, |it| args.selection.is_about(it))
        .await?;
    console::print(format!("{}{footer}", table(looking, &found))).await?;
    if args
        .selection
        .status
        .iter()
        .any(|it| it.0 == Status::Interrupted)
    {
        tell_of_the_dead(looking).await?;
    }
    Ok(matched(!found.is_empty()))
}

/// Says where to look for what a dead process was running: until the next start it is not stored.
async fn tell_of_the_dead(looking: &Looking) -> Result<(), Failure> {
    let live = looking.live().await?;
    let dead = live.iter().filter(|it| !it.is_alive).count();
    if dead > 0 {
        let processes = shown::counted(dead as u64, "process");
        console::say(&format!(
            "what {processes} left is not stored yet: `executor status` shows what was running"
        ));
    }
    Ok(())
}

/// Narrows a window to what is shown of it, so that nothing is said to be missing of the rest.
fn narrow_to(window: &mut Window, shown: &[StoredExecution], order: Order) {
    let ends = shown.iter().map(|it| it.record.ended_at());
    match order {
        Order::OldestFirst => window.to = ends.max(),
        Order::LatestFirst => window.from = ends.min(),
    }
}

/// Prints what was found, the latest last, and goes on until nobody reads it any more.
async fn follow(
    looking: &Looking,
    args: &LsArgs,
    following: &mut Following,
    mut found: Vec<StoredExecution>,
) -> Result<ExitCode, Failure> {
    if !looking.json && !console::is_read(&head_line(looking, found.first()))? {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        let text = match looking.json {
            true => plain::json_lines(found.iter().map(shown::json_of)),
            false => {
                // Without them there is less to say, but nothing is left out.
                let words = with_last_words(looking, &mut found).await;
                following.unless_away(words)?;
                found.iter().map(|it| line_of(looking, it)).collect()
            }
        };
        if !text.is_empty() && !console::is_read(&text)? {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(EVERY).await;
        found = following.look(looking, &args.selection, None).await?;
    }
}

/// The names of the columns of [`line_of`], above the first lines that are shown.
fn head_line(looking: &Looking, first: Option<&StoredExecution>) -> String {
    let width = first.map_or(8, |it| looking.zone.time(it.record.ended_at()).len());
    line(
        &format!("{:<width$}", "ENDED"),
        "ID        ",
        "WHAT",
        "OUTCOME",
        "TOOK",
        "WHY",
    )
}

/// A line whose columns do not depend on those of others.
fn line_of(looking: &Looking, execution: &StoredExecution) -> String {
    let record = &execution.record;
    let (at, id) = (
        looking.zone.time(record.ended_at()),
        record.execution_id.short(),
    );
    let (name, took) = (
        shown::name_of(&record.subject.entity),
        shown::took_of(execution),
    );
    let (status, why) = (record.status.as_str(), shown::why(execution));
    line(&at, &id, &name, status, &took, &why)
}

fn line(at: &str, id: &str, name: &str, status: &str, took: &str, why: &str) -> String {
    let line = format!("{at}  {id}  {name:<24}  {status:<11}  {took:>8}  {why}");
    format!("{}\n", line.trim_end())
}

/// Programs say why they failed in their last line.
async fn with_last_words(looking: &Looking, found: &mut [StoredExecution]) -> Result<(), Failure> {
    for execution in found {
        let record = &execution.record;
        if record.exit_code.is_some_and(|code| code != 0) && FAILED.contains(&record.status) {
            let whole = looking.history.execution(record.execution_id).await?;
            execution.record.lines = whole.and_then(|whole| whole.record.lines);
        }
    }
    Ok(())
}

fn table(looking: &Looking, found: &[StoredExecution]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut columns =
        Columns::new(["ENDED", "ID", "WHAT", "OUTCOME", "TOOK", "WHY"]).dispensable(["ID", "TOOK"]);
    for execution in found {
        let record = &execution.record;
        columns.row([
            looking.zone.time(record.ended_at()).into(),
            record.execution_id.short().into(),
            shown::name_of(&record.subject.entity).into(),
            Text::status(record.status),
            Text::number(shown::took_of(execution)),
            shown::why(execution).into(),
        ]);
    }
    columns.text()
}
