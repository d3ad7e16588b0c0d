//! `executor timeline`: what ran at the same time, drawn on lanes.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use command_executor::ports::{Gap, all_pages};
use command_executor::{Order, PageRequest, RunningExecution, StoredExecution, Timestamp, Window};

use unicode_width::UnicodeWidthStr;

use crate::args::verbs::{FAILED, Selection, TimelineArgs};
use crate::cmd::looking::{Looking, window_of};
use crate::exit::{Failure, matched};
use crate::output::lanes::{Piece, Scale};
use crate::output::marks::{LOST, RUNNING, legend, mark_of};
use crate::output::shown::name_of;
use crate::output::{columns, console, plain, shown};

/// The time that is drawn if none is asked for.
const LATELY: Duration = Duration::from_secs(3_600);
/// The most executions that are drawn.
const DRAWN_MAX: usize = 10_000;
/// The most lanes of one listener or job.
const LANES_MAX: usize = 4;
const NAME_MAX: usize = 28;
/// The width of what is said behind a lane.
const NOTE: usize = 26;

pub(crate) async fn timeline(looking: &Looking, args: TimelineArgs) -> Result<ExitCode, Failure> {
    let now = shown::now();
    let found = Excerpt::read(looking, &args, now).await?;
    let is_any = !found.executions.is_empty() || !found.running.is_empty();
    if looking.json {
        found.print_json().await?;
        return Ok(matched(is_any));
    }
    let window = found.window();
    let history = &looking.history;
    let gaps = all_pages(|page| history.gaps(window.clone(), page)).await?;
    let mut lanes = of_executions(&found.executions);
    add_running(&found.running, now, &mut lanes);
    let drawing = drawing(looking, (found.from, found.to), &lanes, &gaps);
    let footer = looking.footer(found.summary(), window, |_| true).await?;
    console::print(format!("{drawing}{footer}")).await?;
    Ok(matched(is_any))
}

/// What ran in the time that is drawn.
struct Excerpt {
    from: Timestamp,
    to: Timestamp,
    executions: Vec<StoredExecution>,
    has_more: bool,
    running: Vec<RunningExecution>,
}

impl Excerpt {
    async fn read(looking: &Looking, args: &TimelineArgs, now: Timestamp) -> Result<Self, Failure> {
        let (from, to) = match &args.what {
            Some(what) => around(&looking.one(what).await?),
            None => {
                let window = window_of(&args.selection);
                let to = window.to.unwrap_or(now);
                (window.from.unwrap_or(to.saturating_sub(LATELY)), to)
            }
        };
        let (executions, has_more) = overlapping(looking, args, from, to).await?;
        // Beyond those that are drawn nothing is known to be idle.
        let last = executions.iter().map(|it| it.record.ended_at()).max();
        let to = last.filter(|_| has_more).unwrap_or(to);
        Ok(Self {
            from,
            to,
            running: running(looking, &args.selection, to).await?,
            executions,
            has_more,
        })
    }

    const fn window(&self) -> Window {
        Window {
            from: Some(self.from),
            to: Some(self.to),
            session: None,
        }
    }

    async fn print_json(&self) -> Result<(), Failure> {
        let lines = plain::json_lines(self.executions.iter().map(shown::json_of));
        console::print(lines).await?;
        if self.has_more {
            console::say(&format!(
                "only {DRAWN_MAX} executions are shown, and there are more: choose a shorter span"
            ));
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let mut text = shown::counted(self.executions.len() as u64, "execution");
        if !self.running.is_empty() {
            text.push_str(&format!(", {} still running", self.running.len()));
        }
        if self.has_more {
            text.push_str(", and more that are not drawn: choose a shorter span");
        }
        text
    }
}

/// An execution's time, and a quarter of it on both sides.
fn around(execution: &StoredExecution) -> (Timestamp, Timestamp) {
    let record = &execution.record;
    let margin = (record.duration / 4).max(Duration::from_millis(1));
    let to = record.ended_at().saturating_add(margin);
    (record.started_at.saturating_sub(margin), to)
}

/// What ran in this time, the first to end first.
async fn overlapping(
    looking: &Looking,
    args: &TimelineArgs,
    from: Timestamp,
    to: Timestamp,
) -> Result<(Vec<StoredExecution>, bool), Failure> {
    let mut found = Vec::new();
    for mut filter in looking.filters(&args.selection, None).await? {
        (filter.from, filter.to, filter.started_before) = (Some(from), None, Some(to));
        let mut request = Some(PageRequest {
            order: Order::OldestFirst,
            ..PageRequest::first(1_000)
        });
        while let Some(page) = request.filter(|_| found.len() <= DRAWN_MAX) {
            let answer = looking
                .history
                .executions(filter.clone(), page.clone())
                .await?;
            found.extend(answer.items);
            request = answer.next.map(|next| page.following(next));
        }
    }
    let has_more = found.len() > DRAWN_MAX;
    found.truncate(DRAWN_MAX);
    Ok((found, has_more))
}

/// What is drawn of one listener or job.
#[derive(Default)]
struct Lane {
    pieces: Vec<Piece>,
    runs: usize,
    failed: usize,
    /// Its only execution, if there is one.
    only: String,
}

fn of_executions(found: &[StoredExecution]) -> BTreeMap<String, Lane> {
    let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
    for execution in found {
        let record = &execution.record;
        let lane = lanes.entry(name_of(&record.subject.entity)).or_default();
        lane.runs += 1;
        lane.failed += usize::from(FAILED.contains(&record.status));
        let (status, id) = (record.status.as_str(), record.execution_id.short());
        lane.only = format!("{status} {} {id}", shown::took_of(execution));
        lane.pieces.push(Piece {
            from: record.started_at,
            to: record.ended_at(),
            mark: mark_of(record.status),
            is_loud: FAILED.contains(&record.status),
        });
    }
    lanes
}

/// What runs now and began before the end of the time, if it may be what is asked for: it has no outcome yet.
async fn running(
    looking: &Looking,
    selection: &Selection,
    to: Timestamp,
) -> Result<Vec<RunningExecution>, Failure> {
    let asks_for_outcome = !selection.statuses().is_empty()
        || selection.error.is_some()
        || selection.min_duration.is_some();
    if asks_for_outcome {
        return Ok(Vec::new());
    }
    let live = looking.live().await?;
    let living = live.iter().filter(|it| it.is_alive);
    let running = living.flat_map(|it| it.running.iter().cloned());
    let is_it = |it: &RunningExecution| it.started_at < to && selection.is_about(&it.entity);
    Ok(running.filter(is_it).collect())
}

fn add_running(running: &[RunningExecution], now: Timestamp, lanes: &mut BTreeMap<String, Lane>) {
    for execution in running {
        let lane = lanes.entry(name_of(&execution.entity)).or_default();
        lane.runs += 1;
        lane.only = format!("running {}", execution.execution_id.short());
        lane.pieces.push(Piece {
            from: execution.started_at,
            to: now,
            mark: RUNNING,
            is_loud: false,
        });
    }
}

fn drawing(
    looking: &Looking,
    (from, to): (Timestamp, Timestamp),
    lanes: &BTreeMap<String, Lane>,
    gaps: &[Gap],
) -> String {
    let longest = lanes.keys().map(|name| name.width()).max();
    let name_width = longest.unwrap_or(0).clamp(4, NAME_MAX);
    let width = columns::width()
        .saturating_sub(name_width + 2 + 2 + NOTE)
        .max(16);
    let scale = Scale { from, to, width };
    let mut drawing = Drawing {
        scale,
        name_width,
        text: format!("{:name_width$}  {}\n", "", axis(looking, &scale)),
        seen: Vec::new(),
    };
    for (name, lane) in lanes {
        let mut pieces = lane.pieces.clone();
        pieces.sort_by_key(|piece| piece.from);
        drawing.add(name, &pieces, &note_of(lane));
    }
    let count = gaps.iter().map(|gap| gap.count).sum();
    drawing.add("lost", &lost(gaps), &shown::counted(count, "record"));
    let legend = legend(drawing.seen.iter().copied());
    format!("{}{:name_width$}  {legend}\n", drawing.text, "")
}

fn lost(gaps: &[Gap]) -> Vec<Piece> {
    let pieces = gaps.iter().map(|gap| Piece {
        from: gap.first_at,
        to: gap.last_at,
        mark: LOST,
        is_loud: true,
    });
    pieces.collect()
}

/// Lanes below each other, and the characters on them.
struct Drawing {
    scale: Scale,
    name_width: usize,
    text: String,
    seen: Vec<char>,
}

impl Drawing {
    fn add(&mut self, name: &str, pieces: &[Piece], note: &str) {
        for (place, lane) in self.scale.lanes(pieces, LANES_MAX).iter().enumerate() {
            let (name, note) = if place == 0 { (name, note) } else { ("", "") };
            let name = shown::fitted(name, self.name_width);
            let line = format!("{name}  {lane}  {note}");
            self.text.push_str(&format!("{}\n", line.trim_end()));
            self.seen.extend(lane.chars());
        }
    }
}

fn note_of(lane: &Lane) -> String {
    match (lane.runs, lane.failed) {
        (1, _) => lane.only.clone(),
        (runs, 0) => format!("{runs} runs"),
        (runs, failed) => format!("{runs} runs, {failed} failed"),
    }
}

/// The times at the beginning, in the middle and at the end.
fn axis(looking: &Looking, scale: &Scale) -> String {
    let (from, to, width) = (scale.from, scale.to, scale.width);
    let half = to.saturating_duration_since(from) / 2;
    let at = |at: Timestamp| looking.zone.time(at);
    let (first, middle, last) = (at(from), at(from.saturating_add(half)), at(to));
    let both = first.len() + last.len();
    let all = both + middle.len();
    match width.checked_sub(all) {
        Some(room) if room >= 2 => {
            let left = (width / 2)
                .saturating_sub(first.len() + middle.len() / 2)
                .clamp(1, room - 1);
            let right = room - left;
            format!("{first}{:left$}{middle}{:right$}{last}", "", "")
        }
        _ => {
            let room = width.saturating_sub(both).max(1);
            format!("{first}{:room$}{last}", "")
        }
    }
}
