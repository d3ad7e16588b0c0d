//! Figures, each beside a baseline that is measured in the same run, in turns: what an execution costs
//! beside the calls it cannot do without, how fast records are stored beside a prepared loop on the same
//! table, and what threads that were left behind cost everybody else.
// A benchmark may stop where a program may not.
#![allow(clippy::unwrap_used)]

mod bare;
mod flood;
mod history;
mod leaks;
mod lines;
mod load;
mod prune;
mod registrations;
mod rows;
mod tabs;
mod takeover;

use std::time::Duration;

/// Turns of each pair. The median of these is printed, with the extremes beside it.
const TURNS: usize = 15;

/// What can be measured, by the name that asks for it; all of it if none is given.
const FIGURES: [(&str, fn()); 16] = [
    ("million", load::million),
    ("offer", load::offer),
    ("outage", load::outage),
    ("idle", load::idle),
    ("executions", executions),
    ("lines", lines),
    ("store", store),
    ("leaks", leaks),
    ("size", size),
    ("prune", prune),
    ("registrations", registrations),
    ("history", history::measure),
    ("flood", flood::windows),
    ("starving", flood::starving),
    ("takeover", takeover::takeover),
    ("tabs", tabs),
];

fn main() {
    if takeover::is_for_a_takeover() {
        return;
    }
    // Cargo adds flags of its own.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    println!(
        "medians of interleaved pairs, ratios pair by pair ({TURNS} turns, {} for rows); [least .. most]; linked with thin LTO",
        TURNS / 3
    );
    #[cfg(feature = "postgres")]
    if asked.iter().any(|word| word == "history-postgres") {
        history::measure_on_a_server();
    }
    for (name, measure) in FIGURES {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            measure();
        }
    }
}

fn executions() {
    let costs = bare::measure();
    for (what, ours) in [("memory", &costs.memory), ("spool", &costs.spool)] {
        println!(
            "execution   {}   bare calls {}   added {:.0} ns   ratio {}   {what}",
            nanos(ours),
            nanos(&costs.bare),
            ours.median() - costs.bare.median(),
            ratio(ours, &costs.bare)
        );
    }
    let ratio = ratio(&costs.spool, &costs.memory);
    println!("execution   spool beside memory, ratio {ratio}");
}

fn lines() {
    let costs = lines::measure();
    for (what, pairs) in [
        (
            "line kept, beside one formatted into a buffer",
            &costs.lines,
        ),
        (
            "silent execution with the layer, beside one without",
            &costs.silent,
        ),
    ] {
        println!(
            "lines       {}   {}   ratio {}   {what}",
            nanos(&pairs.ours),
            nanos(&pairs.bare),
            ratio(&pairs.ours, &pairs.bare)
        );
    }
}

fn store() {
    for (batch, (rollups, what)) in rows::ways() {
        let stored = rows::measure(batch, rollups);
        println!("{}   {what}", self::stored(&stored, batch));
    }
}

pub(crate) fn stored(pairs: &Pairs, batch: usize) -> String {
    format!(
        "store       {}   rusqlite   {}   batches of {batch:>6}   ratio {}",
        per_second(&pairs.ours),
        per_second(&pairs.bare),
        ratio(&pairs.ours, &pairs.bare)
    )
}

fn leaks() {
    let latencies = leaks::measure();
    for (what, pairs) in [
        ("executions", latencies.executions),
        ("commits", latencies.commits),
    ] {
        println!(
            "{what:<11} p99 with 64 leaked threads {:.0} us, without {:.0} us; pair by pair {}",
            pairs.ours.median(),
            pairs.bare.median(),
            difference(&pairs)
        );
    }
}

fn tabs() {
    let costs = tabs::measure();
    for (what, pairs) in [
        ("executions", &costs.executions),
        ("until stored", &costs.stored),
    ] {
        println!(
            "{what:<12} with 100 stalled tabs {}   without {}   ratio {}",
            nanos(&pairs.ours),
            nanos(&pairs.bare),
            ratio(&pairs.ours, &pairs.bare)
        );
    }
    let (with, without) = costs.memory;
    println!("memory       with 100 stalled tabs {with} MiB, without {without} MiB");
}

fn prune() {
    let waits = prune::measure();
    let differences = waits.ours.0.iter().zip(&waits.bare.0);
    let differences = Samples(differences.map(|(ours, bare)| ours - bare).collect());
    println!(
        "prune       p99 of a commit while 5 MB of 80 go {:.1} ms, alone {:.1} ms; added {:.1} ms, at most {:.1}",
        waits.ours.median(),
        waits.bare.median(),
        differences.median(),
        differences.percentile(99)
    );
}

fn registrations() {
    let seconds = registrations::measure();
    println!(
        "10,000 registrations {:.2} s   rusqlite {:.2} s   ratio {}",
        seconds.ours.median(),
        seconds.bare.median(),
        ratio(&seconds.ours, &seconds.bare)
    );
}

fn size() {
    println!(
        "bytes a row {:.0} (database after a checkpoint, 100,000 rows)",
        rows::bytes_per_row()
    );
}

/// One figure per turn of ours and of the baseline.
#[derive(Default)]
pub(crate) struct Pairs {
    pub(crate) ours: Samples,
    pub(crate) bare: Samples,
}

#[derive(Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        self.sorted()[self.0.len() * percent / 100]
    }

    pub(crate) fn median(&self) -> f64 {
        self.sorted()[self.0.len() / 2]
    }
}

/// Nanoseconds for each of so many.
pub(crate) fn per_item(time: Duration, items: usize) -> f64 {
    time.as_nanos() as f64 / items as f64
}

fn nanos(figures: &Samples) -> String {
    let sorted = figures.sorted();
    format!(
        "{:>5.0} ns [{:.0} .. {:.0}]",
        figures.median(),
        sorted[0],
        sorted[sorted.len() - 1]
    )
}

fn per_second(figures: &Samples) -> String {
    let sorted = figures.sorted();
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:>7.0} rows/s [{least:.0} .. {most:.0}]", figures.median())
}

fn difference(pairs: &Pairs) -> String {
    let both = pairs.ours.0.iter().zip(&pairs.bare.0);
    let differences = Samples(both.map(|(ours, bare)| ours - bare).collect());
    let sorted = differences.sorted();
    format!(
        "{:+.0} us [{:+.0} .. {:+.0}]",
        differences.median(),
        sorted[0],
        sorted[sorted.len() - 1]
    )
}

/// Pair by pair, so that a machine that slows down slows both.
fn ratio(ours: &Samples, bare: &Samples) -> String {
    let pairs = ours.0.iter().zip(&bare.0);
    let ratios = Samples(pairs.map(|(ours, bare)| ours / bare).collect());
    let sorted = ratios.sorted();
    format!(
        "{:.2} [{:.2} .. {:.2}]",
        ratios.median(),
        sorted[0],
        sorted[sorted.len() - 1]
    )
}
