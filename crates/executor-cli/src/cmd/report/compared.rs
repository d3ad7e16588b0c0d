//! How listeners and jobs did beside an earlier time.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use command_executor::{Entity, Stats, Summary, Window};
use serde_json::{Value, json};

use super::figures::{failed, span_of, summaries, took};
use super::table;
use crate::args::verbs::ReportArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text, wrapped};
use crate::output::{console, plain, shown};

/// The figures of one now and then.
#[derive(Default)]
struct Pair {
    now: Stats,
    before: Stats,
}

pub(super) async fn compared(
    looking: &Looking,
    args: &ReportArgs,
    window: Window,
    shift: Duration,
) -> Result<ExitCode, Failure> {
    let earlier = Window {
        from: window.from.map(|from| from.saturating_sub(shift)),
        to: Some(window.to.unwrap_or_else(shown::now).saturating_sub(shift)),
        session: None,
    };
    let now = summaries(looking, args, window.clone()).await?;
    let before = summaries(looking, args, earlier.clone()).await?;
    let pairs = pairs(now, before);
    let text = match looking.json {
        true => plain::json_lines(pairs.iter().map(json_of)),
        false => {
            let spans = spans(looking, args, window, earlier).await?;
            format!("{}{spans}", for_people(&pairs))
        }
    };
    console::print(text).await?;
    Ok(matched(!pairs.is_empty()))
}

/// The times that are compared, and what is missing of either: that makes them differ, too.
async fn spans(
    looking: &Looking,
    args: &ReportArgs,
    window: Window,
    earlier: Window,
) -> Result<String, Failure> {
    let (now, then) = (span_of(looking, &window), span_of(looking, &earlier));
    let mut text = format!("{now}, before: {then}\n");
    for (when, window) in [("", window), ("before: ", earlier)] {
        if let Some(missing) = looking.missing(window, |it| args.is_about(it)).await? {
            text.push_str(&wrapped(&format!("{when}{missing}\n")));
        }
    }
    Ok(text)
}

/// Puts together what is of one listener or job; what became slower comes first.
fn pairs(now: Vec<Summary>, before: Vec<Summary>) -> Vec<(Entity, Pair)> {
    let mut pairs: BTreeMap<Entity, Pair> = BTreeMap::new();
    for it in now {
        pairs.entry(it.entity).or_default().now = it.stats;
    }
    for it in before {
        pairs.entry(it.entity).or_default().before = it.stats;
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_by(|(_, one), (_, other)| slowdown(other).total_cmp(&slowdown(one)));
    pairs
}

/// By how much the typical run is slower; zero where nothing can be compared.
fn slowdown(pair: &Pair) -> f64 {
    change(pair.now.p50, pair.before.p50).unwrap_or(0.0)
}

fn change(now: Duration, before: Duration) -> Option<f64> {
    let is_known = !now.is_zero() && !before.is_zero();
    is_known.then(|| now.as_secs_f64() / before.as_secs_f64() - 1.0)
}

fn for_people(pairs: &[(Entity, Pair)]) -> String {
    if pairs.is_empty() {
        return "no executions\n".to_owned();
    }
    let mut columns = Columns::new([
        "RUNS", "BEFORE", "FAILED", "BEFORE", "P50", "BEFORE", "CHANGE", "P95", "BEFORE", "CHANGE",
        "WHAT",
    ]);
    for (entity, pair) in pairs {
        columns.row(row(entity, pair));
    }
    columns.text()
}

fn row(entity: &Entity, Pair { now, before }: &Pair) -> [Text; 11] {
    let count = |count: u64| Text::number(count.to_string());
    [
        count(now.runs()),
        count(before.runs()),
        count(failed(now)).red_if(worse(failed(now), now, failed(before), before)),
        count(failed(before)),
        took(now.p50),
        took(before.p50),
        percent(change(now.p50, before.p50)),
        took(now.p95),
        took(before.p95),
        percent(change(now.p95, before.p95)),
        shown::name_of(entity).into(),
    ]
}

/// Whether a greater part failed.
fn worse(failed_now: u64, now: &Stats, failed_before: u64, before: &Stats) -> bool {
    let part = |failed: u64, of: &Stats| failed as f64 / of.runs().max(1) as f64;
    let parts = part(failed_now, now).partial_cmp(&part(failed_before, before));
    parts == Some(Ordering::Greater)
}

/// A change; percentiles are known to 2 %, so less says nothing.
fn percent(change: Option<f64>) -> Text {
    const KNOWN_TO: f64 = 0.02;
    match change {
        None => Text::number("-"),
        Some(change) if change.abs() <= KNOWN_TO => Text::number("same"),
        Some(change) => Text::number(format!("{:+.0} %", change * 100.0)).red_if(change > 0.2),
    }
}

fn json_of((entity, pair): &(Entity, Pair)) -> Value {
    let summary = |stats: &Stats| {
        table::json_of(&Summary {
            entity: entity.clone(),
            stats: stats.clone(),
        })
    };
    let mut value = summary(&pair.now);
    value["before"] = summary(&pair.before);
    value["p50_change"] = json!(change(pair.now.p50, pair.before.p50));
    value["p95_change"] = json!(change(pair.now.p95, pair.before.p95));
    value
}

#[cfg(test)]
mod tests;
