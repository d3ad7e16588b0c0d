//! Exactly one record per execution, and the right one: random handlers under random circumstances,
//! each against the one outcome that a model gives it. `docs/outcomes.md` is the model as a table.
//!
//! `CASES=100000 SEED=7 cargo test -p executor-service --test outcomes` runs as many cases as you
//! like; the seed is printed, and a failure names the one that replays it.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod blocking;
mod drive;
mod model;
mod table;

use std::time::Duration;

use fastrand::Rng;

use crate::drive::{House, LONG};
use crate::model::{Behaviour, Case, Circumstance, expected};

/// Cases between two looks at the store.
const CHUNK: usize = 500;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a01_every_combination_ends_in_its_one_right_outcome() {
    let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..));
    let count = setting("CASES").unwrap_or(3_000);
    println!("SEED={seed} CASES={count}");
    let mut cases: Vec<Case> = (0..count)
        .map(|number| {
            let seed = seed.wrapping_add(number);
            Case::random(seed, &mut Rng::with_seed(seed))
        })
        .collect();
    cases.extend(every_cell(seed));
    for chunk in cases.chunks(CHUNK) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(chunk));
    }
}

/// Each combination once, so that none is left out by chance.
fn every_cell(seed: u64) -> Vec<Case> {
    let mut rng = Rng::with_seed(seed);
    let mut cases = Vec::new();
    for behaviour in Behaviour::ALL {
        for circumstance in Circumstance::ALL {
            if expected(behaviour, circumstance).is_some() {
                cases.push(Case::of(behaviour, circumstance, seed, &mut rng));
            }
        }
    }
    assert!(cases.len() >= 60, "{}", cases.len());
    cases
}

async fn run(cases: &[Case]) {
    let houses = [House::open(Duration::ZERO).await, House::open(LONG).await];
    let house_of = |case: &Case| usize::from(case.circumstance == Circumstance::CancelledWithGrace);
    for (number, case) in cases.iter().enumerate() {
        houses[house_of(case)].run(number, case).await;
    }
    let mut records = [houses[0].close().await, houses[1].close().await];
    for (number, case) in cases.iter().enumerate() {
        let house = house_of(case);
        let mine = records[house]
            .remove(&number.to_string())
            .unwrap_or_default();
        let seed = case.seed;
        assert_eq!(mine.len(), 1, "SEED={seed} CASES=1 {case:?}: {mine:#?}");
        let (expected, found) = (case.expected(), houses[house].found(&mine[0]));
        assert_eq!(found, expected, "SEED={seed} CASES=1 {case:?}: {mine:#?}");
    }
}
