//! How one listener or job did: period by period, and its slowest runs.

use std::process::ExitCode;
use std::time::Duration;

use command_executor::diagnosis::{DueFate, DueTime, due_times};
use command_executor::ports::Scope;
use command_executor::{
    EntityKind, Filter, PageRequest, Stats, Status, StoredExecution, StoredRegistration, Summary,
    Timestamp, Window,
};
use serde_json::{Value, json};

use super::figures::{failed, span_of, took};
use super::table;
use crate::args::verbs::ReportArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text, wrapped};
use crate::output::drawn::bar;
use crate::output::marks::{MISSED, legend, mark_of};
use crate::output::periods::Periods;
use crate::output::{console, plain, shown};

/// The number of slowest runs that are shown.
const SLOWEST: usize = 5;
/// The most pages that are read to find them: a search that no index serves takes a fifth of a second each.
const PAGES_MAX: usize = 2;
/// So many that a search ends with its time rather than with its page.
const PAGE: u32 = 5_000;
/// The number of due times that are shown.
const DUE: usize = 30;
/// The length of the longest bar.
const BAR: usize = 24;

/// What is told of one listener or job.
struct Report {
    of: StoredRegistration,
    overall: Stats,
    periods: Periods,
    series: Vec<Stats>,
    slowest: Vec<StoredExecution>,
    /// Since when, if not in all of the time.
    slowest_since: Option<Timestamp>,
    /// The latest first.
    due: Vec<DueTime>,
}

pub(super) async fn one(
    looking: &Looking,
    args: &ReportArgs,
    window: Window,
) -> Result<ExitCode, Failure> {
    let (mut reports, mut text) = (Vec::new(), String::new());
    for registered in registered(looking, args).await? {
        reports.push(read(looking, registered, &window).await?);
    }
    for report in &reports {
        text.push_str(&match looking.json {
            true => plain::json_lines([json_of(report)]),
            false => for_people(looking, report, &window),
        });
    }
    if let (false, Some(missing)) = (
        looking.json,
        looking.missing(window, |it| args.is_about(it)).await?,
    ) {
        text.push_str(&wrapped(&format!("{missing}\n")));
    }
    console::print(text).await?;
    Ok(matched(
        reports.iter().any(|report| report.overall.runs() > 0),
    ))
}

async fn registered(
    looking: &Looking,
    args: &ReportArgs,
) -> Result<Vec<StoredRegistration>, Failure> {
    let mut all = looking.registrations(None).await?;
    all.retain(|it| args.is_about(&it.registration.entity));
    if all.is_empty() {
        let what = args.what.as_ref().map(ToString::to_string);
        let what = plain::plain(&what.unwrap_or_default());
        return Err(Failure::NotFound {
            what: format!("a listener or job `{what}`"),
        });
    }
    Ok(all)
}

async fn read(
    looking: &Looking,
    of: StoredRegistration,
    window: &Window,
) -> Result<Report, Failure> {
    let (from, to) = span(window);
    let periods = Periods::of(&looking.zone, from, to);
    let scope = Scope::Registration(of.id);
    let (history, bounds) = (&looking.history, &periods.bounds);
    let series = history.series(scope.clone(), bounds.clone()).await?;
    let overall = match from < to {
        true => history.series(scope.clone(), vec![from, to]).await?.pop(),
        false => None,
    };
    let overall = overall.unwrap_or_default();
    let filter = Filter {
        scope,
        from: Some(from),
        to: Some(to),
        min_duration: least_of(&overall),
        ..Filter::default()
    };
    let (slowest, slowest_since) = slowest(looking, filter).await?;
    let due = match of.registration.entity.kind {
        EntityKind::Job => due_times(history.as_ref(), &of, DUE).await?,
        EntityKind::Listener => Vec::new(),
    };
    Ok(Report {
        due,
        of,
        overall,
        periods,
        series,
        slowest,
        slowest_since,
    })
}

/// Returns when a window begins and ends: one without an end ends now, one without a beginning is empty.
fn span(window: &Window) -> (Timestamp, Timestamp) {
    let just_now = || shown::now().saturating_add(Duration::from_micros(1));
    let to = window.to.unwrap_or_else(just_now);
    (window.from.unwrap_or(to).min(to), to)
}

/// How long the slowest runs take at least, so that few have to be looked at. Percentiles are known to 2 %.
fn least_of(overall: &Stats) -> Option<Duration> {
    let least = match overall.runs() {
        0..=10 => return None,
        11..=100 => overall.p50,
        101..=500 => overall.p95,
        _ => overall.p99,
    };
    Some(least.mul_f64(0.97))
}

/// Returns them, and since when they were looked for if not in all of the time.
async fn slowest(
    looking: &Looking,
    filter: Filter,
) -> Result<(Vec<StoredExecution>, Option<Timestamp>), Failure> {
    let (mut found, mut looked_to) = (Vec::new(), None);
    let mut request = Some(PageRequest::first(PAGE));
    for _ in 0..PAGES_MAX {
        let Some(page) = request.take() else { break };
        let history = &looking.history;
        let answer = history.executions(filter.clone(), page.clone()).await?;
        let last = answer.items.last().map(|it| it.record.ended_at());
        request = answer.next.map(|next| page.following(next));
        looked_to = answer.searched_to.or(last).filter(|_| request.is_some());
        found.extend(answer.items);
    }
    // Of these only the least is known, or that they did not run.
    found.retain(|it| !matches!(it.record.status, Status::Skipped | Status::Interrupted));
    found.sort_by_key(|it| std::cmp::Reverse(it.record.duration));
    found.truncate(SLOWEST);
    Ok((found, looked_to))
}

fn for_people(looking: &Looking, report: &Report, window: &Window) -> String {
    let heading = heading(looking, report, window);
    let due = due_of(&report.due).map_or_else(String::new, |due| wrapped(&due));
    match report.overall.runs() {
        0 => heading + &due,
        _ => wrapped(&heading) + &due + &series_of(looking, report) + &slowest_of(looking, report),
    }
}

fn heading(looking: &Looking, report: &Report, window: &Window) -> String {
    let overall = &report.overall;
    let name = shown::name_of(&report.of.registration.entity);
    let (span, runs) = (
        span_of(looking, window),
        shown::counted(overall.runs(), "run"),
    );
    let text = format!("{name}  {span}: {runs}, {} failed", failed(overall));
    if overall.runs() == 0 {
        return format!("{text}\n");
    }
    format!(
        "{text} · half within {}, 95 % within {}, longest {}\n",
        shown::took(overall.p50),
        shown::took(overall.p95),
        shown::took(overall.max)
    )
}

/// The last times at which it was due, a character each, the latest at the right; `None` if there are none.
fn due_of(due: &[DueTime]) -> Option<String> {
    let mut drawn = String::new();
    for it in due.iter().rev() {
        let (letter, count) = match it.fate {
            DueFate::Ran { status, .. } => (mark_of(status), 1),
            DueFate::Missed { count, .. } => (MISSED, count.min(DUE as u64)),
        };
        drawn.extend((0..count).map(|_| letter));
    }
    let surplus = drawn.chars().count().saturating_sub(DUE);
    let last: String = drawn.chars().skip(surplus).collect();
    let legend = legend(last.chars());
    (!last.is_empty()).then(|| format!("due {last}  {legend}\n"))
}

fn slowest_of(looking: &Looking, report: &Report) -> String {
    let since = report.slowest_since.map(|at| looking.zone.time(at));
    let since = since.map_or_else(String::new, |at| {
        format!(" since {at}, earlier ones not looked at")
    });
    let mut text = format!("slowest{since}\n");
    for it in &report.slowest {
        let record = &it.record;
        let (at, took) = (looking.zone.time(record.ended_at()), shown::took_of(it));
        let (id, why) = (record.execution_id.short(), shown::why(it));
        let status = record.status.as_str();
        let line = format!("  {at}  {id}  {took:>8}  {status:<9}  {why}");
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    text
}

/// A line for each period; the bar is as long as 95 of 100 took.
fn series_of(looking: &Looking, report: &Report) -> String {
    let Report {
        periods, series, ..
    } = report;
    let longest = series
        .iter()
        .map(|stats| stats.p95)
        .max()
        .unwrap_or_default();
    let mut columns =
        Columns::new([periods.name(), "RUNS", "FAILED", "P50", "P95", ""]).dispensable(["P50"]);
    for (at, stats) in periods.bounds.iter().zip(series) {
        let count = |count: u64| match count {
            0 => Text::number("-"),
            count => Text::number(count.to_string()),
        };
        columns.row([
            periods.label(&looking.zone, *at).into(),
            count(stats.runs()),
            count(failed(stats)).red_if(failed(stats) > 0),
            took(stats.p50),
            took(stats.p95),
            bar(stats.p95.as_secs_f64(), longest.as_secs_f64(), BAR).into(),
        ]);
    }
    columns.text()
}

fn json_of(report: &Report) -> Value {
    let mut value = table::json_of(&Summary {
        entity: (*report.of.registration.entity).clone(),
        stats: report.overall.clone(),
    });
    let bounds = report.periods.bounds.windows(2);
    value["series"] = bounds
        .zip(&report.series)
        .map(|(bounds, stats)| {
            let mut period = table::stats_json(stats);
            period["from_us"] = json!(bounds[0].as_micros());
            period["to_us"] = json!(bounds[1].as_micros());
            period
        })
        .collect();
    value["slowest_since_us"] = json!(report.slowest_since.map(Timestamp::as_micros));
    value["due"] = report.due.iter().map(due_json).collect();
    value["slowest"] = report.slowest.iter().map(shown::json_of).collect();
    value
}

fn due_json(it: &DueTime) -> Value {
    let (id, status, reason) = match it.fate {
        DueFate::Ran { id, status } => (Some(id.to_string()), Some(status.as_str()), None),
        DueFate::Missed { reason, .. } => (None, None, Some(reason.as_str())),
    };
    json!({
        "due_us": it.at.as_micros(),
        "id": id,
        "status": status,
        "missed": reason,
        "count": it.count(),
    })
}

#[cfg(test)]
mod tests;
