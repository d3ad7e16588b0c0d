//! `executor export`: executions for other programs, the oldest first.

use std::process::ExitCode;

use command_executor::{Order, PageRequest, StoredExecution, Timestamp};

use crate::args::verbs::{ExportArgs, Format};
use crate::cmd::looking::{Looking, window_of};
use crate::exit::{Failure, matched};
use crate::output::{console, plain, shown};

/// The number of executions that are read and written at a time.
const PAGE: u32 = 1_000;

pub(crate) async fn export(looking: &Looking, args: ExportArgs) -> Result<ExitCode, Failure> {
    if args.format == Format::Csv {
        if args.lines {
            return Err(Failure::LinesInCsv);
        }
        console::put(&row(COLUMNS.map(str::to_owned)))?;
    }
    let Some(count) = write_all(looking, &args).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    console::show(String::new());
    // Beside the data, which programs read.
    if let Some(missing) = looking
        .missing(window_of(&args.selection), |it| args.selection.is_about(it))
        .await?
    {
        console::say(&missing);
    }
    Ok(matched(count > 0))
}

/// Returns how many were written; `None` if nobody reads them any more.
async fn write_all(looking: &Looking, args: &ExportArgs) -> Result<Option<u64>, Failure> {
    let mut count = 0;
    for filter in looking.filters(&args.selection, None).await? {
        let mut request = Some(PageRequest {
            order: Order::OldestFirst,
            ..PageRequest::first(PAGE)
        });
        while let Some(page) = request {
            let history = &looking.history;
            let answer = history.executions(filter.clone(), page.clone()).await?;
            count += answer.items.len() as u64;
            let items = match args.lines {
                true => with_lines(looking, answer.items).await?,
                false => answer.items,
            };
            if !console::is_read(&text_of(args.format, &items))? {
                return Ok(None);
            }
            console::show(format!("{count} executions"));
            request = answer.next.map(|next| page.following(next));
        }
    }
    Ok(Some(count))
}

async fn with_lines(
    looking: &Looking,
    items: Vec<StoredExecution>,
) -> Result<Vec<StoredExecution>, Failure> {
    let mut whole = Vec::with_capacity(items.len());
    for item in items {
        let found = looking.history.execution(item.record.execution_id).await?;
        // It may have been pruned meanwhile.
        whole.push(found.unwrap_or(item));
    }
    Ok(whole)
}

fn text_of(format: Format, items: &[StoredExecution]) -> String {
    match format {
        Format::Json => plain::json_lines(items.iter().map(shown::json_of)),
        Format::Csv => items.iter().map(|it| row(cells_of(it))).collect(),
    }
}

const COLUMNS: [&str; 16] = [
    "id",
    "session",
    "kind",
    "app_key",
    "instance",
    "name",
    "topic",
    "status",
    "source_tier",
    "started_us",
    "ended_us",
    "duration_us",
    "due_us",
    "exit_code",
    "error_type",
    "error_message",
];

fn cells_of(execution: &StoredExecution) -> [String; COLUMNS.len()] {
    let record = &execution.record;
    let entity = &record.subject.entity;
    let failure = record.failure.as_deref();
    let topic = record.topic.as_deref().unwrap_or(&entity.topic);
    let number = |number: Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
    [
        record.execution_id.to_string(),
        execution.session.to_string(),
        entity.kind.as_str().to_owned(),
        entity.app_key.clone(),
        entity.instance.to_string(),
        entity.name.clone(),
        topic.to_owned(),
        record.status.as_str().to_owned(),
        record.source_tier.as_str().to_owned(),
        record.started_at.as_micros().to_string(),
        record.ended_at().as_micros().to_string(),
        record.duration.as_micros().to_string(),
        number(record.due_at.map(Timestamp::as_micros)),
        number(record.exit_code.map(i64::from)),
        failure.map(|it| it.error_type.clone()).unwrap_or_default(),
        failure.map(|it| it.message.clone()).unwrap_or_default(),
    ]
}

/// A line of comma-separated values as RFC 4180 has them, but that a line ends as lines do here. What a terminal would
/// obey is replaced: such files are looked at, too.
fn row<const N: usize>(cells: [String; N]) -> String {
    let cells = cells.map(|cell| {
        let lines: Vec<String> = cell.split('\n').map(plain::plain).collect();
        let cell = lines.join("\n");
        match cell.contains([',', '"', '\n']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell,
        }
    });
    format!("{}\n", cells.join(","))
}

#[cfg(test)]
mod tests;
