//! Nanoseconds per append beside one `write` per record of the same length, in one run: rounds of
//! both in turn, medians of all rounds. Between rounds the spool is drained, which is not timed.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use record_spool::{Spool, SpoolOptions};

const ROUNDS: usize = 31;
const RECORDS: usize = 50_000;
const RECORD: [u8; 200] = [0x5A; 200];

fn main() {
    let root = tempfile::tempdir().expect("a directory");
    let options = SpoolOptions::default();
    let spool = Spool::create(&root.path().join("spool"), options).expect("a spool");
    println!(
        "{} bytes a record, medians of {ROUNDS} rounds of {RECORDS}",
        RECORD.len()
    );
    for producers in [1, 2] {
        let mut appends = Vec::new();
        let mut writes = Vec::new();
        for _ in 0..ROUNDS {
            appends.push(time(producers, || append(&spool)));
            drain(&spool);
            let file = tempfile::tempfile_in(root.path()).expect("a file");
            writes.push(time(producers, || write(&file)));
        }
        let (append, write) = (median(appends), median(writes));
        let ratio = write / append;
        println!("{producers} producers: append {append:.0} ns, write {write:.0} ns, 1/{ratio:.1}");
    }
}

fn append(spool: &Spool) {
    for _ in 0..RECORDS {
        spool.append(1, &RECORD).expect("room");
    }
}

fn write(mut file: &File) {
    for _ in 0..RECORDS {
        file.write_all(&RECORD).expect("space");
    }
}

fn drain(spool: &Spool) {
    loop {
        let frames = spool.read(1_000, 1 << 20).frames;
        if frames.is_empty() {
            return;
        }
        let positions: Vec<_> = frames.iter().map(|frame| frame.position).collect();
        spool.settle(&positions);
    }
}

/// Nanoseconds per record of each producer.
fn time(producers: usize, work: impl Fn() + Sync) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(&work);
        }
    });
    start.elapsed().as_nanos() as f64 / RECORDS as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
