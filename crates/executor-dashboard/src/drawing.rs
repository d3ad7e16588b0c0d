//! Draws SVG: what charts are made of. Every text is escaped here.

use std::fmt::Write as _;

use executor_core::Timestamp;

use crate::shown::{escaped, tick, ticks};

/// The width of a chart in its own units.
pub(crate) const WIDTH: f64 = 960.0;

/// Markup that was made here, with every text escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Svg(String);

impl Svg {
    pub(crate) fn markup(&self) -> &str {
        &self.0
    }
}

/// Where a time is on a chart with these ends.
pub(crate) fn place(at: Timestamp, (from, to): (Timestamp, Timestamp)) -> f64 {
    let whole = (to.as_micros() - from.as_micros()).max(1) as f64;
    let share = (at.as_micros() - from.as_micros()) as f64 / whole;
    share.clamp(0.0, 1.0) * WIDTH
}

/// The height of what stands above the bars of a chart.
pub(crate) const HEAD: f64 = 28.0;

/// The height of the times below a chart.
pub(crate) const AXIS: f64 = 16.0;

/// Writes times below a chart, which end at its edges.
pub(crate) fn axis(svg: &mut String, (from, to): (Timestamp, Timestamp), height: f64) {
    const MOST: i64 = 8;
    let whole = (to.as_micros() - from.as_micros()).max(1);
    for at in ticks(from, to, MOST) {
        let x = (at.as_micros() - from.as_micros()) as f64 / whole as f64 * WIDTH;
        let anchor = match x {
            ..40.0 => "start",
            ..920.0 => "middle",
            _ => "end",
        };
        rect(svg, "tick", (x - 0.5, height), (1.0, 4.0));
        let _ = write!(
            svg,
            "<text class=\"axis\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            height + AXIS - 2.0,
            escaped(&tick(at, whole))
        );
    }
}

/// Writes what the full height means.
pub(crate) fn scale(svg: &mut String, most: &str) {
    let _ = write!(
        svg,
        "<text class=\"scale\" x=\"3\" y=\"11\">{}</text>",
        escaped(most)
    );
}

/// A name that leaves room for what is drawn.
pub(crate) fn shortened(name: &str) -> String {
    const LONGEST: usize = 48;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Each chart of a page has hatching of its own.
pub(crate) fn opened(name: &str, label: &str, height: f64) -> String {
    format!(
        "<svg role=\"group\" aria-label=\"{label}\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\">\
         <defs><pattern id=\"hatched-{name}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect class=\"hatch\" width=\"2\" height=\"6\"/></pattern></defs>"
    )
}

pub(crate) fn closed(mut svg: String) -> Svg {
    svg.push_str("</svg>");
    Svg(svg)
}

pub(crate) fn rect(svg: &mut String, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
    );
}

pub(crate) fn lost(svg: &mut String, chart: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let _ = write!(
        svg,
        "<rect class=\"lost\" fill=\"url(#hatched-{chart})\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\"/>"
    );
}
