//! Ends what was begun to read sources: programs, and sockets.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The time after which a program that is told to end is killed.
pub(super) const GRACE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Something that has to be ended.
pub(super) trait End: Send + Sync {
    /// Asks it to end.
    fn begin(&self);
    fn is_over(&self) -> bool;
    /// Ends it at once.
    fn force(&self);
}

/// All that has to be ended. What is left when this is dropped is ended at once.
#[derive(Default)]
pub(crate) struct Endings(Vec<Box<dyn End>>);

impl Endings {
    pub(super) fn add(&mut self, end: impl End + 'static) {
        self.0.push(Box::new(end));
    }

    /// Asks all to end, and waits for them, two seconds at most.
    pub(crate) fn end(&self) {
        self.0.iter().for_each(|it| it.begin());
        let begun = Instant::now();
        while begun.elapsed() < GRACE && !self.0.iter().all(|it| it.is_over()) {
            sleep(LOOK_AGAIN);
        }
    }

    /// Ends all at once.
    pub(crate) fn force(&self) {
        self.0.iter().for_each(|it| it.force());
    }
}

impl Drop for Endings {
    fn drop(&mut self) {
        self.force();
    }
}
