//! Charts, drawn as SVG on the server. A page shows the numbers of each in a table beside it.

use std::fmt::Write as _;
use std::time::Duration;

use executor_core::ports::Stats;
use executor_core::{Status, Timestamp};

pub(crate) use crate::drawing::Svg;
use crate::drawing::{
    AXIS, HEAD, WIDTH, axis, closed, lost, opened, place, rect, scale, shortened,
};
use crate::shown::{dated, escaped, grouped, took};

/// The height of what stands for records that were lost.
const LOST: f64 = 14.0;

/// Fewer do not fill a chart, or a single failure would.
const MOST_MIN: u64 = 4;

/// A part of a span of time.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) stats: Stats,
    /// How many records were lost in it, as far as gaps tell.
    pub(crate) lost: u64,
    /// Whether all of them were lost within it.
    pub(crate) is_exact: bool,
    /// Where its executions are listed.
    pub(crate) link: String,
}

impl Part {
    pub(crate) fn lost_in_words(&self) -> String {
        match (self.lost, self.is_exact) {
            (0, _) => String::new(),
            (lost, true) => grouped(lost),
            (lost, false) => format!("up to {}", grouped(lost)),
        }
    }
}

/// A time that something is said of, over the whole height.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) title: String,
}

/// A moment at which something happened.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) at: Timestamp,
    pub(crate) class: &'static str,
    /// What stands beside it, if there are not too many.
    pub(crate) label: String,
    pub(crate) title: String,
}

/// More labels would cover each other.
const LABELS_MAX: usize = 6;

/// What is drawn of processes: when none ran, and when each began, crashed or was stopped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    pub(crate) downs: Vec<Band>,
    pub(crate) marks: Vec<Mark>,
}

impl Processes {
    /// Shades the times in which none ran; what ran is drawn over it.
    fn draw_downs(&self, svg: &mut String, ends: (Timestamp, Timestamp), height: f64) {
        let x = |at| place(at, ends);
        for down in &self.downs {
            let (from, to) = (x(down.from), x(down.to));
            let _ = write!(svg, "<g><title>{}</title>", escaped(&down.title));
            rect(svg, "down", (from, 0.0), ((to - from).max(2.0), height));
            svg.push_str("</g>");
        }
    }

    /// Marks when each began and ended, with labels if there is room for them.
    fn draw_marks(&self, svg: &mut String, ends: (Timestamp, Timestamp), height: f64) {
        let x = |at| place(at, ends);
        for mark in &self.marks {
            let title = format!("{}: {}", dated(mark.at), mark.title);
            let _ = write!(svg, "<g><title>{}</title>", escaped(&title));
            rect(svg, mark.class, (x(mark.at) - 1.5, 0.0), (3.0, height));
            if self.marks.len() <= LABELS_MAX {
                // Before a crash and behind a beginning, where the process was.
                let is_left = mark.class != "begun" && x(mark.at) > 120.0 || x(mark.at) > 840.0;
                let (at, anchor) = match is_left {
                    true => (x(mark.at) - 4.0, "end"),
                    false => (x(mark.at) + 4.0, "start"),
                };
                let _ = write!(
                    svg,
                    "<text class=\"scale\" text-anchor=\"{anchor}\" x=\"{at:.1}\" y=\"11\">{}</text>",
                    escaped(&shortened(&mark.label))
                );
            }
            svg.push_str("</g>");
        }
    }
}

fn ends(parts: &[Part]) -> Option<(Timestamp, Timestamp)> {
    Some((parts.first()?.from, parts.last()?.to))
}

/// The outcomes, from what is drawn lowest on.
const STACKED: [Status; 7] = [
    Status::Success,
    Status::Skipped,
    Status::Cancelled,
    Status::Interrupted,
    Status::TimedOut,
    Status::Panicked,
    Status::Error,
];

/// Draws how many executions ended how, part by part, with hatching on top where records were lost.
pub(crate) fn outcomes(parts: &[Part], processes: &Processes) -> Svg {
    const HEIGHT: f64 = 120.0;
    let most = parts
        .iter()
        .map(|part| part.stats.runs())
        .max()
        .unwrap_or(0);
    let scaled = most.max(MOST_MIN);
    let step = WIDTH / parts.len().max(1) as f64;
    let mut svg = opened(
        "outcomes",
        "outcomes over time; the table has its numbers",
        HEIGHT + AXIS,
    );
    if let Some(ends) = ends(parts) {
        processes.draw_downs(&mut svg, ends, HEIGHT);
    }
    for (place, part) in parts.iter().enumerate() {
        let (x, mut y) = (place as f64 * step, HEIGHT);
        let _ = write!(svg, "<a tabindex=\"-1\" href=\"{}\">", escaped(&part.link));
        let _ = write!(svg, "<title>{}</title>", escaped(&title(part)));
        // Where nothing ended there is something to click, too.
        rect(&mut svg, "none", (x, 0.0), (step, HEIGHT));
        for status in STACKED {
            let count = part.stats.count(status);
            if count > 0 {
                let height = (count as f64 / scaled as f64 * (HEIGHT - HEAD)).max(2.0);
                y -= height;
                rect(
                    &mut svg,
                    status.as_str(),
                    (x + 0.5, y),
                    (step - 1.0, height),
                );
            }
        }
        if part.lost > 0 {
            // On top of what was stored: how high they would be is not known.
            let top = (y - LOST).max(HEAD);
            lost(&mut svg, "outcomes", (x, top), (step, LOST));
            let said = escaped(&format!("{} lost", part.lost_in_words()));
            let _ = write!(
                svg,
                "<text class=\"scale\" text-anchor=\"middle\" x=\"{:.1}\" y=\"23\">{said}</text>",
                (x + step / 2.0).clamp(30.0, WIDTH - 30.0)
            );
        }
        svg.push_str("</a>");
    }
    if let Some(ends) = ends(parts) {
        processes.draw_marks(&mut svg, ends, HEIGHT);
        axis(&mut svg, ends, HEIGHT);
    }
    scale(&mut svg, &format!("{} at most", grouped(most)));
    closed(svg)
}

fn title(part: &Part) -> String {
    let mut title = format!("{} – {}", dated(part.from), dated(part.to));
    for status in STACKED.into_iter().rev() {
        let count = part.stats.count(status);
        if count > 0 {
            let _ = write!(title, "; {count} {}", status.as_str());
        }
    }
    if part.lost > 0 {
        let _ = write!(title, "; {} records lost", part.lost_in_words());
    }
    title
}

/// Draws the time within which 95 of 100 ended, part by part, and that of an earlier time as an outline.
pub(crate) fn durations(parts: &[Part], earlier: &[Stats], processes: &Processes) -> Svg {
    const HEIGHT: f64 = 80.0;
    let p95 = |part: &Part| part.stats.p95.as_secs_f64();
    let earlier: Vec<f64> = earlier.iter().map(|it| it.p95.as_secs_f64()).collect();
    let most = parts.iter().map(p95).chain(earlier.iter().copied());
    let most = most.fold(0.0, f64::max);
    let step = WIDTH / parts.len().max(1) as f64;
    let mut svg = opened(
        "durations",
        "the time within which 95 of 100 ended; the table has its numbers",
        HEIGHT + AXIS,
    );
    if let Some(ends) = ends(parts) {
        processes.draw_downs(&mut svg, ends, HEIGHT);
    }
    for (place, part) in parts.iter().enumerate().filter(|(_, part)| p95(part) > 0.0) {
        let height = (p95(part) / most * (HEIGHT - HEAD)).max(2.0);
        let (x, y) = (place as f64 * step, HEIGHT - height);
        let title = format!(
            "{} – {}: {}",
            dated(part.from),
            dated(part.to),
            took(part.stats.p95)
        );
        let _ = write!(
            svg,
            "<a tabindex=\"-1\" href=\"{}\"><title>{}</title>",
            escaped(&part.link),
            escaped(&title)
        );
        rect(&mut svg, "p95", (x + 0.5, y), (step - 1.0, height));
        svg.push_str("</a>");
    }
    for (place, p95) in earlier.iter().enumerate().filter(|(_, p95)| **p95 > 0.0) {
        let height = (p95 / most * (HEIGHT - HEAD)).max(2.0);
        let title = format!("a year earlier: {}", took(Duration::from_secs_f64(*p95)));
        let _ = write!(svg, "<g><title>{}</title>", escaped(&title));
        let place = (place as f64 * step + 0.5, HEIGHT - height);
        rect(&mut svg, "earlier", place, (step - 1.0, 2.0));
        svg.push_str("</g>");
    }
    if let Some(ends) = ends(parts) {
        processes.draw_marks(&mut svg, ends, HEIGHT);
        axis(&mut svg, ends, HEIGHT);
    }
    scale(
        &mut svg,
        &format!("{} at most", took(Duration::from_secs_f64(most))),
    );
    closed(svg)
}

/// The moments of one execution.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) due: Option<Timestamp>,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) class: &'static str,
}

/// Draws when it was due, how late it began, how long it ran, and when its deadline was, on one bar.
pub(crate) fn life(life: &Life) -> Svg {
    const HEIGHT: f64 = 34.0;
    let from = life.due.map_or(life.began, |due| due.min(life.began));
    let to = life.deadline.map_or(life.ended, |it| it.max(life.ended));
    let whole = (to.as_micros() - from.as_micros()).max(1) as f64;
    let x =
        |at: Timestamp| (at.as_micros() - from.as_micros()) as f64 / whole * (WIDTH - 8.0) + 4.0;
    let mut svg = opened(
        "life",
        "due, late, run and deadline; the list has its numbers",
        HEIGHT,
    );
    let mut bar = |class: &str, from: Timestamp, to: Timestamp, title: String| {
        let _ = write!(svg, "<g><title>{}</title>", escaped(&title));
        let width = (x(to) - x(from)).max(2.0);
        rect(&mut svg, class, (x(from), 10.0), (width, 14.0));
        svg.push_str("</g>");
    };
    let lasted = |from: Timestamp, to: Timestamp| took(to.saturating_duration_since(from));
    if let Some(due) = life.due.filter(|due| *due < life.began) {
        bar(
            "late",
            due,
            life.began,
            format!("late by {}", lasted(due, life.began)),
        );
    }
    bar(
        life.class,
        life.began,
        life.ended,
        format!("ran for {}", lasted(life.began, life.ended)),
    );
    let marks = [("due", life.due), ("deadline", life.deadline)];
    for (class, at) in marks
        .into_iter()
        .filter_map(|(class, at)| Some((class, at?)))
    {
        let _ = write!(svg, "<g><title>{class} {}</title>", escaped(&dated(at)));
        rect(&mut svg, class, (x(at) - 1.5, 2.0), (3.0, HEIGHT - 4.0));
        svg.push_str("</g>");
    }
    closed(svg)
}

/// Draws a small chart of executions and failures among them, part by part.
pub(crate) fn spark(parts: &[(u64, u64)]) -> Svg {
    const WIDTH: f64 = 130.0;
    const HEIGHT: f64 = 22.0;
    let most = parts.iter().map(|(runs, _)| *runs).max().unwrap_or(0);
    let (runs, failed) = parts
        .iter()
        .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let mut svg = format!(
        "<svg role=\"img\" class=\"spark\" aria-label=\"{runs} executions over time, {failed} failed; at most {most} in a \
         part\" viewBox=\"0 0 {WIDTH:.0} {HEIGHT:.0}\">"
    );
    let step = WIDTH / parts.len().max(1) as f64;
    for (place, (runs, failed)) in parts.iter().enumerate().filter(|(_, (runs, _))| *runs > 0) {
        let of = |count: u64| (count as f64 / most as f64 * HEIGHT).max(1.5);
        let x = place as f64 * step;
        rect(
            &mut svg,
            "success",
            (x, HEIGHT - of(*runs)),
            (step - 1.0, of(*runs)),
        );
        if *failed > 0 {
            rect(
                &mut svg,
                "error",
                (x, HEIGHT - of(*failed)),
                (step - 1.0, of(*failed)),
            );
        }
    }
    closed(svg)
}

/// Something in a lane: from where to where it goes, in shares of the whole.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) class: &'static str,
    pub(crate) title: String,
    pub(crate) link: String,
}

/// A lane with its name.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// A time in which records were lost, in shares of the whole.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// The lanes whose records they were, as far as that is known.
    pub(crate) of: Vec<String>,
}

/// Draws what overlapped, lane by lane.
pub(crate) fn lanes(
    lanes: &[Lane],
    losses: &[Loss],
    processes: &Processes,
    ends: (Timestamp, Timestamp),
) -> Svg {
    const LANE: f64 = 26.0;
    let height = LANE * lanes.len().max(1) as f64;
    let mut svg = opened(
        "lanes",
        "what ran at the same time; the table has its numbers",
        height + AXIS,
    );
    for loss in losses {
        let (x, width) = (loss.from * WIDTH, ((loss.to - loss.from) * WIDTH).max(3.0));
        let own = lanes
            .iter()
            .enumerate()
            .filter(|(_, it)| loss.of.contains(&it.name));
        let own: Vec<_> = own.map(|(place, _)| place as f64 * LANE).collect();
        // Of what has no lane, all may be.
        if own.is_empty() {
            lost(&mut svg, "lanes", (x, 0.0), (width, height));
        }
        for y in own {
            lost(&mut svg, "lanes", (x, y), (width, LANE));
        }
    }
    processes.draw_downs(&mut svg, ends, height);
    processes.draw_marks(&mut svg, ends, height);
    for (place, lane) in lanes.iter().enumerate() {
        let y = place as f64 * LANE;
        for bar in &lane.bars {
            let tag = if bar.link.is_empty() { "g" } else { "a" };
            let link = match bar.link.as_str() {
                "" => String::new(),
                link => format!(" tabindex=\"-1\" href=\"{}\"", escaped(link)),
            };
            let _ = write!(svg, "<{tag}{link}><title>{}</title>", escaped(&bar.title));
            let width = ((bar.to - bar.from) * WIDTH).max(2.0);
            let at = (bar.from * WIDTH, y + 12.0);
            rect(&mut svg, bar.class, at, (width, 12.0));
            let _ = write!(svg, "</{tag}>");
        }
        let _ = write!(
            svg,
            "<text x=\"2\" y=\"{:.1}\">{}<title>{}</title></text>",
            y + 10.0,
            escaped(&shortened(&lane.name)),
            escaped(&lane.name)
        );
    }
    axis(&mut svg, ends, height);
    closed(svg)
}
