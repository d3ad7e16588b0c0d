//! `executor timers`: each job with a schedule: when it runs next, how it ran last, what it missed.

use std::process::ExitCode;

use command_executor::Timestamp;
use command_executor::diagnosis::{self, Timer};
use command_executor::ports::SchedulePlan;
use serde_json::{Value, json};

use crate::args::verbs::TimersArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text, wrapped};
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

pub(crate) async fn timers(looking: &Looking, args: TimersArgs) -> Result<ExitCode, Failure> {
    let living = looking.living().await?;
    let history = looking.history.as_ref();
    let timers = diagnosis::timers(history, args.app, &living, shown::now()).await?;
    // Reading takes a moment.
    let now = shown::now();
    let text = match looking.json {
        true => plain::json_lines(timers.iter().map(json_of)),
        false => {
            let mut text = table(looking, &timers, now);
            text.extend(last_missed(looking, &timers));
            if !timers.is_empty() && living.is_empty() {
                text.push_str("no process is running: nothing will start until one does\n");
            }
            text
        }
    };
    console::print(text).await?;
    Ok(matched(!timers.is_empty()))
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
        columns.row(row(looking, timer, now));
    }
    columns.text()
}

fn row(looking: &Looking, timer: &Timer, now: Timestamp) -> [Text; 8] {
    let none = || "-".to_owned();
    let next = match timer.is_paused {
        true => "paused".to_owned(),
        false => timer.next.map_or_else(none, |next| looking.zone.time(next)),
    };
    let left = timer.next.map(|next| next.saturating_duration_since(now));
    let last = timer.last.as_ref();
    let at = last.map_or_else(none, |last| looking.zone.time(last.record.ended_at()));
    [
        next.into(),
        Text::number(left.map_or_else(none, shown::took)),
        at.into(),
        last.map_or_else(|| none().into(), |last| Text::status(last.record.status)),
        Text::number(timer.lateness().map_or_else(none, shown::took)),
        Text::number(timer.missed.to_string()),
        shown::name_of(&timer.entity).into(),
        schedule_of(&timer.plan).into(),
    ]
}

/// The run that was missed last, and how to ask why.
fn last_missed(looking: &Looking, timers: &[Timer]) -> Option<String> {
    let missed = timers.iter().filter_map(|it| Some((it.last_missed?, it)));
    let (due, timer) = missed.max_by_key(|(due, _)| *due)?;
    let (name, due) = (shown::name_of(&timer.entity), looking.zone.time(due));
    Some(wrapped(&format!(
        "the last one missed was due {due}: `executor explain \"{name}@{due}\"`\n"
    )))
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
        "is_paused": timer.is_paused,
        "next_us": timer.next.map(Timestamp::as_micros),
        "last_id": last.map(|last| last.execution_id.to_string()),
        "last_status": last.map(|last| last.status.as_str()),
        "last_ended_us": last.map(|last| last.ended_at().as_micros()),
        "late_us": timer.lateness().map(|late| late.as_micros() as u64),
        "missed": timer.missed,
        "last_missed_us": timer.last_missed.map(Timestamp::as_micros),
    })
}
