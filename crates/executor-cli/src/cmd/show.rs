//! `executor show`: everything about one execution.

use std::process::ExitCode;
use std::time::Duration;

use command_executor::identity::RegistrationId;
use command_executor::ports::Scope;
use command_executor::{
    EntityKind, Filter, Order, PageRequest, Status, StoredExecution, Timestamp,
};
use serde_json::json;

use crate::args::verbs::ShowArgs;
use crate::cmd::logs::lines_of;
use crate::cmd::looking::Looking;
use crate::exit::Failure;
use crate::output::columns::wrapped;
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

/// The number of executions beside it that are named.
const BESIDE: u32 = 5;

pub(crate) async fn show(looking: &Looking, args: ShowArgs) -> Result<ExitCode, Failure> {
    let execution = looking.one(&args.what).await?;
    let around = Around::read(looking, &execution).await?;
    let text = match looking.json {
        true => {
            let id = |it: &Option<StoredExecution>| {
                it.as_ref().map(|it| it.record.execution_id.to_string())
            };
            let mut value = shown::json_of(&execution);
            value["previous"] = json!(id(&around.previous));
            value["next"] = json!(id(&around.next));
            value["last_success"] = json!(id(&around.last_success));
            let beside = around
                .beside
                .iter()
                .map(|it| it.record.execution_id.to_string());
            value["overlapped"] = beside.collect();
            plain::json_lines([value])
        }
        false => for_people(looking, &execution, &around),
    };
    console::print(text).await?;
    Ok(ExitCode::SUCCESS)
}

/// The executions before and after it, and those that ran at the same time.
struct Around {
    previous: Option<StoredExecution>,
    next: Option<StoredExecution>,
    last_success: Option<StoredExecution>,
    beside: Vec<StoredExecution>,
    has_more: bool,
}

impl Around {
    async fn read(looking: &Looking, execution: &StoredExecution) -> Result<Self, Failure> {
        let record = &execution.record;
        let ended = record.ended_at();
        let after = ended.saturating_add(Duration::from_micros(1));
        let scope = record.subject.row.map(|row| {
            let kind = record.subject.entity.kind;
            Scope::Registration(RegistrationId { kind, row })
        });
        let nearest = async |filter: Filter, order| -> Result<_, Failure> {
            if scope.is_none() {
                return Ok(None);
            }
            let filter = Filter {
                scope: scope.clone().unwrap_or_default(),
                ..filter
            };
            let request = PageRequest {
                order,
                ..PageRequest::first(1)
            };
            Ok(looking
                .history
                .executions(filter, request)
                .await?
                .items
                .pop())
        };
        let until = |statuses: Vec<Status>| Filter {
            statuses,
            to: Some(ended),
            ..Filter::default()
        };
        let from = Filter {
            from: Some(after),
            ..Filter::default()
        };
        let overlap = Filter {
            from: Some(record.started_at),
            started_before: Some(after),
            ..Filter::default()
        };
        let page = looking
            .history
            .executions(overlap, PageRequest::first(BESIDE + 1))
            .await?;
        let mut beside = page.items;
        beside.retain(|it| it.record.execution_id != record.execution_id);
        let has_more = page.next.is_some();
        beside.truncate(BESIDE as usize);
        Ok(Self {
            previous: nearest(until(Vec::new()), Order::LatestFirst).await?,
            next: nearest(from, Order::OldestFirst).await?,
            last_success: nearest(until(vec![Status::Success]), Order::LatestFirst).await?,
            beside,
            has_more,
        })
    }
}

fn for_people(looking: &Looking, execution: &StoredExecution, around: &Around) -> String {
    let record = &execution.record;
    let zone = &looking.zone;
    let name = shown::name_of(&record.subject.entity);
    let code = record
        .exit_code
        .map(|code| format!("  exit status {code}"))
        .unwrap_or_default();
    let id = record.execution_id;
    let mut text = format!("{name}  {}{code}  {}\n", record.status.as_str(), id.short());
    let mut add = |label: &str, value: String| text.push_str(&format!("  {label:<9} {value}\n"));
    add("id", id.to_string());
    let due = record
        .due_at
        .map(|due| late(zone.exact(due).as_str(), due, record.started_at));
    add(
        "started",
        format!(
            "{}{}",
            zone.exact(record.started_at),
            due.unwrap_or_default()
        ),
    );
    add("took", shown::took_of(execution));
    add("trigger", plain(&trigger_of(execution)));
    if let Some(failure) = &record.failure {
        add(
            "error",
            format!(
                "{}: {}",
                plain(&failure.error_type),
                plain(&failure.message)
            ),
        );
        // A program's output is below, with its times.
        let report = failure.report.iter().filter(|_| record.lines.is_none());
        for line in report.flat_map(|report| report.lines()).take(40) {
            add("", plain(line));
        }
    }
    for (flag, what) in [
        (
            record.flags.thread_leaked,
            "a blocking thread was left behind",
        ),
        (
            record.flags.overran,
            "it overran its deadline while it held its thread",
        ),
    ] {
        if flag {
            add("note", what.into());
        }
    }
    add("session", execution.session.to_string());
    let of = |it: &StoredExecution| {
        let record = &it.record;
        let (at, id) = (zone.time(record.ended_at()), record.execution_id.short());
        format!(
            "{at}  {id}  {}  {}",
            shown::name_of(&record.subject.entity),
            record.status.as_str()
        )
    };
    for (label, other) in [
        ("previous", &around.previous),
        ("next", &around.next),
        ("last ok", &around.last_success),
    ] {
        if let Some(other) = other {
            add(label, of(other));
        }
    }
    for other in &around.beside {
        add("beside", of(other));
    }
    if around.has_more {
        add("beside", "… and more".into());
    }
    if let Some(lines) = &record.lines {
        add(
            "lines",
            format!("{} of {} kept", lines.kept(), lines.total()),
        );
        text = wrapped(&text);
        // What was said is shown as it was.
        text.push_str(&lines_of(looking, execution, None));
        return text;
    }
    wrapped(&text)
}

fn late(shown_due: &str, due: Timestamp, started: Timestamp) -> String {
    let late = started.as_micros().saturating_sub(due.as_micros());
    let late = Duration::from_micros(u64::try_from(late).unwrap_or(0));
    match late >= Duration::from_millis(500) {
        true => format!(", due {shown_due}, {} late", shown::took(late)),
        false => ", on time".to_owned(),
    }
}

fn trigger_of(execution: &StoredExecution) -> String {
    let record = &execution.record;
    let entity = &record.subject.entity;
    match entity.kind {
        EntityKind::Job => record.due_at.map_or("by hand", |_| "schedule").to_owned(),
        EntityKind::Listener => {
            let topic = record.topic.as_deref().unwrap_or(&entity.topic);
            match record.trigger.id() {
                Some(id) => format!("event {id} on {topic}"),
                None => format!("event on {topic}"),
            }
        }
    }
}
