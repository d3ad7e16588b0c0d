//! The sinks of the runners, for what begins inside a handler and cannot wait for its end.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use crate::lines::running::RunnerNumber;
use crate::ports::RecordSink;

static SINKS: RwLock<Vec<(RunnerNumber, Weak<dyn RecordSink>)>> = RwLock::new(Vec::new());

/// Makes a runner's sink known. Forgets those that are gone.
pub(crate) fn add(runner: RunnerNumber, sink: &Arc<dyn RecordSink>) {
    let mut sinks = SINKS.write().unwrap_or_else(PoisonError::into_inner);
    sinks.retain(|(_, sink)| sink.strong_count() > 0);
    sinks.push((runner, Arc::downgrade(sink)));
}

/// Returns the sink of the runner that runs the current execution.
#[cfg(feature = "process")]
pub(crate) fn current() -> Option<Arc<dyn RecordSink>> {
    let runner = super::traits().runner;
    let sinks = SINKS.read().unwrap_or_else(PoisonError::into_inner);
    let (_, sink) = sinks.iter().find(|(number, _)| *number == runner)?;
    sink.upgrade()
}
