//! How times, durations, executions and names are shown, in one way everywhere.

use std::time::Duration;

use command_executor::lines::{Line, LineKind, Lines};
use command_executor::{Entity, Orphan, Status, StoredExecution, Timestamp};
use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::output::plain::plain;

/// Shows times in one zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    zone: TimeZone,
    today: jiff::civil::Date,
}

impl Zone {
    pub(crate) fn new(is_utc: bool) -> Self {
        let zone = if is_utc {
            TimeZone::UTC
        } else {
            TimeZone::system()
        };
        let today = jiff::Timestamp::now()
            .to_zoned_datetime(zone.clone())
            .date();
        Self { zone, today }
    }

    fn zoned(&self, at: Timestamp) -> Option<jiff::ZonedDateTime> {
        let at = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
        Some(at.to_zoned_datetime(self.zone.clone()))
    }

    /// The time, with the date unless it is today.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        let Some(zoned) = self.zoned(at) else {
            return format!("{} us", at.as_micros());
        };
        let format = match zoned.date() {
            date if date == self.today => "%H:%M:%S",
            date if date.year() == self.today.year() => "%d %b %H:%M:%S",
            _ => "%Y-%m-%d %H:%M:%S",
        };
        zoned.strftime(format).to_string()
    }

    /// The time to the minute, with the date unless it is today.
    pub(crate) fn minute(&self, at: Timestamp) -> String {
        let zoned = self.zoned(at);
        let text = zoned.map(|zoned| match zoned.date() == self.today {
            true => zoned.strftime("%H:%M").to_string(),
            false => zoned.strftime("%d %b %H:%M").to_string(),
        });
        text.unwrap_or_else(|| format!("{} us", at.as_micros()))
    }

    /// The day.
    pub(crate) fn day(&self, at: Timestamp) -> String {
        let zoned = self.zoned(at);
        let text = zoned.map(|zoned| match zoned.date().year() == self.today.year() {
            true => zoned.strftime("%a %d %b").to_string(),
            false => zoned.strftime("%Y-%m-%d").to_string(),
        });
        text.unwrap_or_else(|| format!("{} us", at.as_micros()))
    }

    /// The midnight that many days after the one before a time; the time itself where there is none.
    pub(crate) fn days_after(&self, at: Timestamp, days: i64) -> Timestamp {
        let midnight = self.zoned(at).and_then(|zoned| {
            let day = zoned.date().checked_add(days.days()).ok()?;
            day.to_zoned_datetime(self.zone.clone()).ok()
        });
        midnight.map_or(at, |it| {
            Timestamp::from_micros(it.timestamp().as_microsecond())
        })
    }

    /// The time to the millisecond.
    pub(crate) fn exact(&self, at: Timestamp) -> String {
        let zoned = self.zoned(at);
        let text = zoned.map(|zoned| zoned.strftime("%Y-%m-%d %H:%M:%S%.3f %Z").to_string());
        text.unwrap_or_else(|| format!("{} us", at.as_micros()))
    }
}

/// What time it is.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// A text that takes exactly so many columns of a terminal: cut, or with space behind it.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let mut fitted = text.to_owned();
    if fitted.width() > columns {
        while fitted.width() >= columns && fitted.pop().is_some() {}
        fitted.push('…');
    }
    let space = columns.saturating_sub(fitted.width());
    fitted.extend(std::iter::repeat_n(' ', space));
    fitted
}

/// A number of things, in words that agree with it.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if what.ends_with('s') { "es" } else { "s" };
    match count {
        0 => format!("no {what}{plural}"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}{plural}"),
    }
}

/// A size in three digits or so.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A duration in three digits or so, or two units.
pub(crate) fn took(duration: Duration) -> String {
    let (us, s) = (duration.as_micros(), duration.as_secs());
    match us {
        0..1_000 => format!("{us}µs"),
        1_000..1_000_000 => format!("{:.1}ms", us as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.1}s", us as f64 / 1e6),
        60_000_000..3_600_000_000 => format!("{}m {:02}s", s / 60, s % 60),
        3_600_000_000..86_400_000_000 => format!("{}h {:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d {:02}h", s / 86_400, s / 3_600 % 24),
    }
}

/// How long an execution took; of one that was interrupted only the least is known.
pub(crate) fn took_of(execution: &StoredExecution) -> String {
    let record = &execution.record;
    match record.status {
        Status::Skipped => "-".into(),
        // It was never seen after it had begun.
        Status::Interrupted if record.duration.is_zero() => "?".into(),
        Status::Interrupted => format!("≥ {}", took(record.duration)),
        _ => took(record.duration),
    }
}

/// `APP/NAME`, with the instance if it is not the first.
pub(crate) fn name_of(entity: &Entity) -> String {
    plain(&entity.path()).to_string()
}

/// Which program of which execution a dead process left running.
pub(crate) fn orphan(orphan: &Orphan) -> String {
    let (program, group) = (plain(&orphan.group.program), orphan.group.id);
    let entity = name_of(&orphan.entity);
    format!("`{program}` of {entity} is still running (process group {group})")
}

/// Why it ended so, on one line: the last line of a program that failed, else the message.
pub(crate) fn why(execution: &StoredExecution) -> String {
    let record = &execution.record;
    let failure = record.failure.as_deref();
    let message = failure.map_or("", |failure| &failure.message);
    let is_of_program = record.exit_code.is_some_and(|code| code != 0);
    let lines = record.lines.as_deref().filter(|_| is_of_program);
    let last = lines.and_then(last_words);
    match (last, record.status) {
        (Some(last), _) => plain(&last),
        (None, Status::Interrupted) => "process killed".into(),
        (None, _) => plain(message),
    }
}

/// The last line of a program: what it printed to standard error last, if it did.
fn last_words(lines: &Lines) -> Option<String> {
    let is_said = |line: &Line<'_>| !line.text.trim().is_empty() && line.kind != LineKind::LeftOut;
    let said: Vec<Line<'_>> = lines.iter().filter(is_said).collect();
    let of_errors = said.iter().rev().find(|line| line.kind == LineKind::Stderr);
    let last = of_errors.or(said.last());
    last.map(|line| line.text.to_owned())
}

/// An execution for machines.
pub(crate) fn json_of(execution: &StoredExecution) -> Value {
    let record = &execution.record;
    let entity = &record.subject.entity;
    let failure = record.failure.as_deref();
    json!({
        "id": record.execution_id.to_string(),
        "short_id": record.execution_id.short(),
        "session": execution.session.to_string(),
        "kind": entity.kind.as_str(),
        "app_key": entity.app_key,
        "instance": entity.instance,
        "name": entity.name,
        "topic": record.topic.as_deref().or(Some(&entity.topic).filter(|it| !it.is_empty()).map(String::as_str)),
        "status": record.status.as_str(),
        "source_tier": record.source_tier.as_str(),
        "started_us": record.started_at.as_micros(),
        "ended_us": record.ended_at().as_micros(),
        "duration_us": record.duration.as_micros() as u64,
        "due_us": record.due_at.map(Timestamp::as_micros),
        "exit_code": record.exit_code,
        "error_type": failure.map(|failure| &failure.error_type),
        "error_message": failure.map(|failure| &failure.message),
        "error_report": failure.and_then(|failure| failure.report.as_ref()),
        "lines": record.lines.as_deref().map(json_of_lines),
    })
}

fn json_of_lines(lines: &Lines) -> Value {
    let each = lines.iter().map(|line| {
        json!({
            "after_us": line.after.as_micros() as u64,
            "kind": line.kind.as_str(),
            "target": Some(line.target).filter(|target| !target.is_empty()),
            "text": line.text,
            "unfinished": line.is_unfinished,
        })
    });
    json!({
        "kept": lines.kept(),
        "total": lines.total(),
        "total_bytes": lines.total_bytes(),
        "binary": lines.is_binary(),
        "lines": each.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
