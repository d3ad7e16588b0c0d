//! Makes a part of the executor fail.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// Makes a supervised part of the executor panic a number of times: whenever the part logs something on the thread
/// that created this value, until the value is dropped. The executor restarts the part; if it fails too often, the
/// executor's health becomes `Failed`.
///
/// Parts are named after their modules: `drain`, `intake::loss_reporter`, `lifecycle::heartbeat`, `recovery`,
/// `retention`, `schedule::scheduler`, `registration::registrar`. A part logs only when something goes wrong, so a
/// test must also give it a reason: the drain, for example, logs each batch that the store does not take. Use it on
/// the current-thread runtime, where all parts run on one thread.
///
/// ```
/// use executor_testkit::FailingPart;
///
/// let failing = FailingPart::new("drain", 3);
/// assert_eq!(failing.remaining(), 3); // it has not failed yet
/// ```
pub struct FailingPart {
    left: Arc<AtomicUsize>,
    _default: DefaultGuard,
}

impl FailingPart {
    /// Makes this part fail this many times.
    pub fn new(part: &'static str, times: usize) -> Self {
        keep_callsites_open();
        let left = Arc::new(AtomicUsize::new(times));
        let panics = Panics {
            suffix: format!("::{part}"),
            left: Arc::clone(&left),
        };
        Self {
            left,
            _default: tracing::subscriber::set_default(panics),
        }
    }

    /// Returns the number of remaining failures.
    pub fn remaining(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for FailingPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailingPart")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// Adds a second subscriber. Otherwise a call site would be disabled for good if a test without a subscriber reached
/// it first.
fn keep_callsites_open() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let listens = Panics {
            suffix: "nothing".into(),
            left: Arc::default(),
        };
        std::mem::forget(tracing::Dispatch::new(listens));
    });
}

struct Panics {
    suffix: String,
    left: Arc<AtomicUsize>,
}

impl Subscriber for Panics {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let is_its = event.metadata().target().ends_with(&self.suffix);
        let take = |left: usize| left.checked_sub(1);
        let fails = is_its
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok();
        assert!(!fails, "the log is full");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
