//! `executor show`: everything about one execution.

use std::process::ExitCode;
use std::time::Duration;

use command_executor::identity::RegistrationId;
use command_executor::ports::Scope;
use command_executor::record::RecordFlags;
use command_executor::{
    EntityKind, ExecutionRecord, Filter, Order, PageRequest, Status, StoredExecution, Timestamp,
};
use serde_json::{Value, json};

use crate::args::verbs::ShowArgs;
use crate::cmd::logs::lines_of;
use crate::cmd::looking::Looking;
use crate::exit::Failure;
use crate::output::columns::wrapped;
use crate::output::console;
use crate::output::plain::{self, plain};
use crate::output::shown::{self, Zone};

/// The number of executions beside it that are named.
const BESIDE: u32 = 5;

pub(crate) async fn show(looking: &Looking, args: ShowArgs) -> Result<ExitCode, Failure> {
    let execution = looking.one(&args.what).await?;
    let around = Around::read(looking, &execution).await?;
    let text = match looking.json {
        true => plain::json_lines([json_of(&execution, &around)]),
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
        let (beside, has_more) = beside(looking, record).await?;
        let scope = scope_of(record);
        let nearest = async |filter: Filter, order| match &scope {
            None => Ok(None),
            Some(scope) => {
                let scope = scope.clone();
                nearest(looking, Filter { scope, ..filter }, order).await
            }
        };
        let until = |statuses: Vec<Status>| Filter {
            statuses,
            to: Some(record.ended_at()),
            ..Filter::default()
        };
        let from = Filter {
            from: Some(just_after(record)),
            ..Filter::default()
        };
        Ok(Self {
            previous: nearest(until(Vec::new()), Order::LatestFirst).await?,
            next: nearest(from, Order::OldestFirst).await?,
            last_success: nearest(until(vec![Status::Success]), Order::LatestFirst).await?,
            beside,
            has_more,
        })
    }
}

/// Returns the scope of an execution's listener or job, if that has a row.
fn scope_of(record: &ExecutionRecord) -> Option<Scope> {
    let kind = record.subject.entity.kind;
    let row = record.subject.row?;
    Some(Scope::Registration(RegistrationId { kind, row }))
}

fn just_after(record: &ExecutionRecord) -> Timestamp {
    record.ended_at().saturating_add(Duration::from_micros(1))
}

async fn nearest(
    looking: &Looking,
    filter: Filter,
    order: Order,
) -> Result<Option<StoredExecution>, Failure> {
    let request = PageRequest {
        order,
        ..PageRequest::first(1)
    };
    let mut page = looking.history.executions(filter, request).await?;
    Ok(page.items.pop())
}

/// Returns others that ran at the same time, and whether there are more of them.
async fn beside(
    looking: &Looking,
    record: &ExecutionRecord,
) -> Result<(Vec<StoredExecution>, bool), Failure> {
    let overlap = Filter {
        from: Some(record.started_at),
        started_before: Some(just_after(record)),
        ..Filter::default()
    };
    let request = PageRequest::first(BESIDE + 1);
    let page = looking.history.executions(overlap, request).await?;
    let mut beside = page.items;
    beside.retain(|it| it.record.execution_id != record.execution_id);
    beside.truncate(BESIDE as usize);
    Ok((beside, page.next.is_some()))
}

fn json_of(execution: &StoredExecution, around: &Around) -> Value {
    let id = |it: &StoredExecution| it.record.execution_id.to_string();
    let mut value = shown::json_of(execution);
    value["previous"] = json!(around.previous.as_ref().map(id));
    value["next"] = json!(around.next.as_ref().map(id));
    value["last_success"] = json!(around.last_success.as_ref().map(id));
    value["overlapped"] = around.beside.iter().map(id).collect();
    value
}

fn for_people(looking: &Looking, execution: &StoredExecution, around: &Around) -> String {
    let record = &execution.record;
    let mut facts = Facts::headed(record);
    facts.add("id", &record.execution_id.to_string());
    facts.add("started", &started(&looking.zone, record));
    facts.add("took", &shown::took_of(execution));
    facts.add("trigger", &plain(&trigger_of(execution)));
    facts.add_failure(record);
    facts.add_notes(record.flags);
    facts.add("session", &execution.session.to_string());
    facts.add_around(&looking.zone, around);
    let Some(lines) = &record.lines else {
        return wrapped(&facts.text);
    };
    let kept = format!("{} of {} kept", lines.kept(), lines.total());
    facts.add("lines", &kept);
    // What was said is shown as it was.
    wrapped(&facts.text) + &lines_of(looking, execution, None)
}

/// A heading, and a line for each fact.
struct Facts {
    text: String,
}

impl Facts {
    fn headed(record: &ExecutionRecord) -> Self {
        let name = shown::name_of(&record.subject.entity);
        let code = record.exit_code;
        let code = code.map(|code| format!("  exit status {code}"));
        let (status, code) = (record.status.as_str(), code.unwrap_or_default());
        let id = record.execution_id.short();
        Self {
            text: format!("{name}  {status}{code}  {id}\n"),
        }
    }

    fn add(&mut self, label: &str, value: &str) {
        self.text.push_str(&format!("  {label:<9} {value}\n"));
    }

    fn add_failure(&mut self, record: &ExecutionRecord) {
        let Some(failure) = &record.failure else {
            return;
        };
        let (error_type, message) = (plain(&failure.error_type), plain(&failure.message));
        self.add("error", &format!("{error_type}: {message}"));
        // A program's output is below, with its times.
        let report = failure.report.iter().filter(|_| record.lines.is_none());
        for line in report.flat_map(|report| report.lines()).take(40) {
            self.add("", &plain(line));
        }
    }

    fn add_notes(&mut self, flags: RecordFlags) {
        if flags.thread_leaked {
            self.add("note", "a blocking thread was left behind");
        }
        if flags.overran {
            let note = "it overran its deadline while it held its thread";
            self.add("note", note);
        }
    }

    fn add_around(&mut self, zone: &Zone, around: &Around) {
        for (label, other) in [
            ("previous", &around.previous),
            ("next", &around.next),
            ("last ok", &around.last_success),
        ] {
            if let Some(other) = other {
                self.add(label, &line_of(zone, other));
            }
        }
        for other in &around.beside {
            self.add("beside", &line_of(zone, other));
        }
        if around.has_more {
            self.add("beside", "… and more");
        }
    }
}

fn line_of(zone: &Zone, execution: &StoredExecution) -> String {
    let record = &execution.record;
    let (at, id) = (zone.time(record.ended_at()), record.execution_id.short());
    let name = shown::name_of(&record.subject.entity);
    format!("{at}  {id}  {name}  {}", record.status.as_str())
}

fn started(zone: &Zone, record: &ExecutionRecord) -> String {
    let due = record
        .due_at
        .map(|due| late(&zone.exact(due), due, record.started_at));
    let started = zone.exact(record.started_at);
    format!("{started}{}", due.unwrap_or_default())
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
