//! Two figures, each as a ratio to a baseline that is measured in the same run, in turns: what an
//! execution costs beside the calls it cannot do without, and how fast records are stored beside a
//! prepared loop on the same table.
// A benchmark may stop where a program may not.
#![allow(clippy::unwrap_used)]

mod bare;
mod discard;
mod rows;

use std::time::Duration;

/// Turns of each pair. The median of these is printed, with the extremes beside it.
const TURNS: usize = 15;

fn main() {
    println!(
        "medians of interleaved pairs, ratios pair by pair ({TURNS} for executions, {} for rows); [least .. most]",
        TURNS / 3
    );
    let calls = bare::measure();
    println!(
        "execution   {}   bare calls {}   added {:.0} ns   ratio {}",
        nanos(&calls.ours),
        nanos(&calls.bare),
        calls.ours.median() - calls.bare.median(),
        ratio(&calls)
    );
    for batch in [100, 1_000, 10_000] {
        let stored = rows::measure(batch);
        println!(
            "store       {}   rusqlite   {}   batches of {batch:>6}   ratio {}",
            per_second(&stored.ours),
            per_second(&stored.bare),
            ratio(&stored)
        );
    }
    println!(
        "bytes a row {:.0} (database after a checkpoint, 100,000 rows)",
        rows::bytes_per_row()
    );
}

/// One figure per turn of ours and of the baseline.
#[derive(Default)]
pub(crate) struct Pairs {
    pub(crate) ours: Figures,
    pub(crate) bare: Figures,
}

#[derive(Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub(crate) fn median(&self) -> f64 {
        self.sorted()[self.0.len() / 2]
    }
}

/// Nanoseconds for each of so many.
pub(crate) fn per_item(time: Duration, items: usize) -> f64 {
    time.as_nanos() as f64 / items as f64
}

fn nanos(figures: &Figures) -> String {
    let sorted = figures.sorted();
    format!(
        "{:>5.0} ns [{:.0} .. {:.0}]",
        figures.median(),
        sorted[0],
        sorted[sorted.len() - 1]
    )
}

fn per_second(figures: &Figures) -> String {
    let sorted = figures.sorted();
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:>7.0} rows/s [{least:.0} .. {most:.0}]", figures.median())
}

/// Pair by pair, so that a machine that slows down slows both.
fn ratio(pairs: &Pairs) -> String {
    let ratios = pairs
        .ours
        .0
        .iter()
        .zip(&pairs.bare.0)
        .map(|(ours, bare)| ours / bare);
    let ratios = Figures(ratios.collect());
    let sorted = ratios.sorted();
    format!(
        "{:.2} [{:.2} .. {:.2}]",
        ratios.median(),
        sorted[0],
        sorted[sorted.len() - 1]
    )
}
