//! The pool under runs that end and runs that are given up.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs that end and runs that are given up, at random, in a pool that is too small for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_run_that_is_waited_for_runs_once_and_no_thread_is_one_too_many() {
    const THREADS: usize = 3;
    let pool = BlockingPool::new(THREADS);
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (mut waited_for, mut given_up) = (Vec::new(), 0);
    for number in 0..3_000_u64 {
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        let leaked = pool.clone();
        let run = pool.run("work", move || {
            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
            // Those that were left behind are beside the pool.
            most.fetch_max(now.saturating_sub(leaked.leaked_count()), Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(number % 7 * 20));
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
        if is_given_up(number) {
            given_up += 1;
            tokio::task::yield_now().await;
            drop(run);
        } else {
            waited_for.push(tokio::spawn(run));
        }
    }
    assert!(given_up > 500);
    for run in waited_for {
        assert!(run.await.expect("no panic").is_ok());
    }
    pool.close().await;
    assert_eq!((pool.leaked_count(), inside.load(Ordering::SeqCst)), (0, 0));
    assert!(most.load(Ordering::SeqCst) <= THREADS + LEAKED_MAX);
    assert!(pool.run("late", || Ok(())).await.is_err(), "closed");
}

/// One in three, in no pattern.
const fn is_given_up(number: u64) -> bool {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(3)
}
