//! How long to wait before connecting again. Pure; the caller supplies the time.

use std::time::{Duration, Instant};

use uuid::Uuid;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits longer after each failure. Each process waits a different time, so that not all come at once when a server is
/// back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let chance = f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0;
        self.until = Some(now + wait(self.failures, chance));
    }

    pub(super) fn waits(self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// Between a half and the whole of a time that doubles; `chance` is between 0 and 1.
fn wait(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    whole.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests;
