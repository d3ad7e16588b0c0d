//! The table per listener and job, for people and as JSON.

use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use command_executor::{EntityKind, Stats, Status, Summary};
use serde_json::{Value, json};

use crate::output::colors::{self, ColorWhen};
use crate::output::plain::plain;

/// The length at which the table cuts the last error; `errors_v` has the rest.
const ERROR_MAX_CHARS: usize = 48;

pub(crate) fn json(summaries: &[Summary]) -> Value {
    summaries.iter().map(json_of).collect()
}

pub(super) fn json_of(summary: &Summary) -> Value {
    let entity = &summary.entity;
    let mut value = json!({
        "kind": entity.kind.as_str(),
        "app_key": entity.app_key,
        "instance": entity.instance,
        "name": entity.name,
        "topic": Some(&entity.topic).filter(|topic| !topic.is_empty()),
    });
    if let (Some(value), Value::Object(stats)) = (value.as_object_mut(), stats_json(&summary.stats))
    {
        value.extend(stats);
    }
    value
}

pub(super) fn stats_json(stats: &Stats) -> Value {
    let by_status: serde_json::Map<String, Value> = Status::ALL
        .into_iter()
        .map(|status| (status.as_str().to_owned(), stats.count(status).into()))
        .collect();
    json!({
        "runs": stats.runs(),
        "by_status": by_status,
        "average_us": stats.average.as_micros() as u64,
        "p50_us": stats.p50.as_micros() as u64,
        "p95_us": stats.p95.as_micros() as u64,
        "p99_us": stats.p99.as_micros() as u64,
        "max_us": stats.max.as_micros() as u64,
        "last_error": stats.last_error,
    })
}

/// Returns the whole table if the terminal is wide enough or there is none; otherwise the table without its widest
/// columns, followed by the errors.
pub(super) fn for_people(summaries: &[Summary]) -> String {
    let whole = table(summaries, Width::Whole);
    let needed = whole.lines().next().unwrap_or_default().chars().count();
    let wide_enough = Table::new()
        .width()
        .is_none_or(|width| needed <= usize::from(width));
    if wide_enough {
        return format!("{whole}\n");
    }
    let mut text = format!("{}\n", table(summaries, Width::Narrow));
    for summary in summaries {
        if let Some(error) = &summary.stats.last_error {
            let (app, name) = (app_of(summary), plain(&summary.entity.name));
            text.push_str(&format!("{app} {name}: {}\n", shortened(error)));
        }
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Whole,
    /// Without kinds, topics and errors.
    Narrow,
}

fn table(summaries: &[Summary], width: Width) -> String {
    let is_there = |status: &Status| {
        summaries
            .iter()
            .any(|summary| summary.stats.count(*status) > 0)
    };
    let shown: Vec<Status> = Status::ALL.into_iter().filter(is_there).collect();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    if width == Width::Narrow {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(kept(header(&shown), width));
    for summary in summaries {
        table.add_row(kept(row(summary, &shown), width));
    }
    table.to_string()
}

/// The cells of a row that a table of this width has.
fn kept(cells: Vec<Cell>, width: Width) -> Vec<Cell> {
    if width == Width::Whole {
        return cells;
    }
    let last = cells.len() - 1;
    let placed = cells.into_iter().enumerate();
    let kept = placed.filter(|(place, _)| ![KIND, TOPIC, last].contains(place));
    kept.map(|(_, cell)| cell).collect()
}

/// The columns that a narrow table leaves out, besides the last one, which has the error.
const KIND: usize = 0;
const TOPIC: usize = 3;

fn app_of(summary: &Summary) -> String {
    let app = plain(&summary.entity.app_key);
    match summary.entity.instance {
        0 => app,
        instance => format!("{app}[{instance}]"),
    }
}

/// What the configuration calls it.
const fn word_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Listener => "listener",
        EntityKind::Job => "job",
    }
}

fn header(shown: &[Status]) -> Vec<Cell> {
    let words = ["kind", "app", "name", "topic", "runs"].into_iter();
    let statuses = shown.iter().map(|status| status.as_str());
    let rest = ["average", "p95", "last error"];
    words.chain(statuses).chain(rest).map(Cell::new).collect()
}

fn row(summary: &Summary, shown: &[Status]) -> Vec<Cell> {
    let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);

    let mut cells = vec![
        Cell::new(word_of(summary.entity.kind)),
        Cell::new(app_of(summary)),
        Cell::new(plain(&summary.entity.name)),
        Cell::new(plain(&summary.entity.topic)),
        number(summary.stats.runs().to_string()),
    ];
    for status in shown {
        let count = summary.stats.count(*status);
        let cell = number(count.to_string());
        let is_bad = count > 0 && *status != Status::Success;
        let is_bad = is_bad && colors::when() != ColorWhen::Never;
        cells.push(if is_bad { cell.fg(Color::Red) } else { cell });
    }
    let last_error = summary.stats.last_error.as_deref().unwrap_or("");
    cells.extend([
        number(readable(summary.stats.average)),
        number(readable(summary.stats.p95)),
        Cell::new(shortened(last_error)),
    ]);
    cells
}

/// Three digits or so, in the unit that fits.
fn readable(duration: Duration) -> String {
    let us = duration.as_micros();
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.2} s", us as f64 / 1e6),
        _ => format!("{:.1} min", us as f64 / 6e7),
    }
}

fn shortened(error: &str) -> String {
    let line = plain(error);
    match line.char_indices().nth(ERROR_MAX_CHARS) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

#[cfg(test)]
mod tests;
