//! How a run goes on: the line of progress on a terminal.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_executor::CommandExecutor;
use indicatif::HumanCount;

use crate::output::console;

/// Counters of the stream.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Events that were understood.
    pub(crate) events: AtomicU64,
    /// Lines that were not.
    pub(crate) bad_lines: AtomicU64,
}

impl Counts {
    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub(crate) fn add(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Keeps the progress line up to date until it is dropped; does nothing unless standard error is a terminal.
pub(crate) async fn keep_showing(executor: &CommandExecutor, counts: &Counts) {
    if !io::stderr().is_terminal() {
        pending::<()>().await;
    }
    loop {
        let ledger = executor.ledger();
        let count = |counter: &AtomicU64| HumanCount(counter.load(Ordering::Relaxed));
        console::show(format!(
            "events {}  executions {}  running {}  stored {}  waiting {}  bad lines {}",
            count(&counts.events),
            HumanCount(ledger.offered),
            executor.running(),
            HumanCount(ledger.stored),
            HumanCount(ledger.waiting),
            count(&counts.bad_lines),
        ));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
