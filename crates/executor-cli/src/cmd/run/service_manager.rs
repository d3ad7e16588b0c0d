//! Tells systemd how the program does, where it is started by it: that it is ready, what it does, that it is alive, and
//! that it stops.

use std::future::pending;
use std::time::Duration;

use command_executor::{CommandExecutor, Health};
use sd_notify::NotifyState;
use tokio::time::{sleep, timeout};

use crate::output::progress::Counts;
use crate::output::shown::counted;

/// The interval between updates of the status, which a watchdog shortens.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Says that everything is registered.
pub(super) fn ready(listeners: usize, jobs: usize) {
    let (listeners, jobs) = (
        counted(listeners as u64, "listener"),
        counted(jobs as u64, "job"),
    );
    tell(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("running {listeners} and {jobs}")),
    ]);
}

/// Says that it stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Keeps the status up to date, and feeds the watchdog while all is well. Never completes.
pub(super) async fn keep_telling(executor: &CommandExecutor, counts: &Counts) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        pending::<()>().await;
    }
    let watchdog = sd_notify::watchdog_enabled();
    // Three tries within one interval.
    let every = watchdog.map_or(STATUS_EVERY, |interval| (interval / 3).min(STATUS_EVERY));
    loop {
        let status = status(executor, counts);
        tell(&[NotifyState::Status(&status)]);
        if let Some(interval) = watchdog
            && is_well(executor, interval / 2).await
        {
            tell(&[NotifyState::Watchdog]);
        }
        sleep(every).await;
    }
}

async fn is_well(executor: &CommandExecutor, patience: Duration) -> bool {
    let is_failed = matches!(executor.health(), Health::Failed { .. });
    !is_failed
        && timeout(patience, executor.ping())
            .await
            .is_ok_and(|answered| answered)
}

fn status(executor: &CommandExecutor, counts: &Counts) -> String {
    let ledger = executor.ledger();
    let health = match executor.health() {
        Health::Healthy => String::new(),
        Health::Degraded(_) => "; degraded: see the log".to_owned(),
        Health::Failed { service, .. } => format!("; the service `{service}` was given up"),
    };
    let events = counted(counts.events(), "event");
    let (running, stored, waiting) = (executor.running(), ledger.stored, ledger.waiting);
    format!("{events}, {running} running, {stored} stored, {waiting} waiting{health}")
}

/// Nobody may listen, and then nothing is lost.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
