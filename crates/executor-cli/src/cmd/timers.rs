//! `executor timers`: each job with a schedule: when it runs next, how it ran last, what it missed.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use command_executor::diagnosis::next_planned;
use command_executor::ports::{SchedulePlan, Scope, SessionStatus, all_pages};
use command_executor::{
    Entity, EntityKind, Filter, PageRequest, StoredExecution, StoredRegistration, Timestamp, Window,
};
use serde_json::{Value, json};

use crate::args::verbs::TimersArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text};
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

/// A job with a schedule.
struct Timer {
    entity: Arc<Entity>,
    plan: SchedulePlan,
    next: Option<Timestamp>,
    last: Option<StoredExecution>,
    missed: u64,
}

impl Timer {
    /// How long after its time the last run began.
    fn lateness(&self) -> Option<std::time::Duration> {
        let record = &self.last.as_ref()?.record;
        Some(record.started_at.saturating_duration_since(record.due_at?))
    }
}

pub(crate) async fn timers(args: TimersArgs) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&args.look)?;
    let now = shown::now();
    let is_alive = is_anybody_alive(&looking).await?;
    let timers = read(&looking, args.app, now, is_alive).await?;
    let text = match looking.json {
        true => plain::json_lines(timers.iter().map(json_of)),
        false => {
            let mut text = table(&looking, &timers, now);
            if !timers.is_empty() && !is_alive {
                text.push_str("no process runs: until one starts, nothing begins\n");
            }
            text
        }
    };
    console::print(text).await?;
    Ok(matched(!timers.is_empty()))
}

/// The next one first; those of which nobody knows come last.
async fn read(
    looking: &Looking,
    app: Option<String>,
    now: Timestamp,
    is_alive: bool,
) -> Result<Vec<Timer>, Failure> {
    let missed = missed_by_job(looking).await?;
    let mut timers = Vec::new();
    for registered in looking.registrations(app).await? {
        let Some(mut timer) = timer(looking, &registered, &missed).await? else {
            continue;
        };
        let last = timer.last.as_ref().filter(|_| is_alive);
        let last_due = last.and_then(|last| last.record.due_at);
        timer.next = next_planned(&timer.plan, last_due, now);
        timers.push(timer);
    }
    timers.sort_by_key(|timer| (timer.next.is_none(), timer.next));
    Ok(timers)
}

async fn timer(
    looking: &Looking,
    registered: &StoredRegistration,
    missed: &HashMap<Arc<Entity>, u64>,
) -> Result<Option<Timer>, Failure> {
    let entity = &registered.registration.entity;
    if entity.kind != EntityKind::Job {
        return Ok(None);
    }
    let schedules = looking.history.schedules(registered.id).await?;
    let current = schedules.into_iter().find(|it| it.until.is_none());
    let Some(current) = current else {
        return Ok(None);
    };
    let filter = Filter {
        scope: Scope::Registration(registered.id),
        ..Filter::default()
    };
    let page = PageRequest::first(1);
    let last = looking.history.executions(filter, page).await?.items.pop();
    Ok(Some(Timer {
        next: None,
        entity: Arc::clone(entity),
        plan: current.plan,
        missed: missed.get(entity).copied().unwrap_or_default(),
        last,
    }))
}

async fn missed_by_job(looking: &Looking) -> Result<HashMap<Arc<Entity>, u64>, Failure> {
    let history = &looking.history;
    let missed = all_pages(|page| history.missed_runs(Window::default(), page)).await?;
    let mut counts = HashMap::new();
    for missed in missed {
        *counts.entry(missed.entity).or_default() += missed.count;
    }
    Ok(counts)
}

async fn is_anybody_alive(looking: &Looking) -> Result<bool, Failure> {
    let latest = looking.history.sessions(PageRequest::first(100)).await?;
    let mut sessions = latest.items.iter();
    Ok(sessions.any(|it| it.status == SessionStatus::Running))
}

fn table(looking: &Looking, timers: &[Timer], now: Timestamp) -> String {
    if timers.is_empty() {
        return "no jobs with a schedule\n".to_owned();
    }
    let mut columns = Columns::new([
        "NEXT", "LEFT", "LAST", "OUTCOME", "LATE", "MISSED", "JOB", "SCHEDULE",
    ])
    .dispensable(["LATE", "LEFT"]);
    for timer in timers {
        let none = || "-".to_owned();
        let next = timer.next.map_or_else(none, |next| looking.zone.time(next));
        let left = timer.next.map_or_else(none, |next| {
            shown::took(next.saturating_duration_since(now))
        });
        let last = timer.last.as_ref();
        let at = last.map_or_else(none, |last| looking.zone.time(last.record.ended_at()));
        let outcome = last.map_or_else(|| none().into(), |last| Text::status(last.record.status));
        let late = timer.lateness().map_or_else(none, shown::took);
        columns.row([
            next.into(),
            Text::number(left),
            at.into(),
            outcome,
            Text::number(late),
            Text::number(timer.missed.to_string()),
            shown::name_of(&timer.entity).into(),
            schedule_of(&timer.plan).into(),
        ]);
    }
    columns.text()
}

fn schedule_of(plan: &SchedulePlan) -> String {
    match &plan.time_zone {
        Some(zone) => format!("{} {}", plain(&plan.text), plain(zone)),
        None => plain(&plan.text),
    }
}

fn json_of(timer: &Timer) -> Value {
    let last = timer.last.as_ref().map(|last| &last.record);
    json!({
        "app": timer.entity.app_key,
        "instance": timer.entity.instance,
        "name": timer.entity.name,
        "schedule": timer.plan.text,
        "time_zone": timer.plan.time_zone,
        "next_us": timer.next.map(Timestamp::as_micros),
        "last_id": last.map(|last| last.execution_id.to_string()),
        "last_status": last.map(|last| last.status.as_str()),
        "last_ended_us": last.map(|last| last.ended_at().as_micros()),
        "late_us": timer.lateness().map(|late| late.as_micros() as u64),
        "missed": timer.missed,
    })
}
