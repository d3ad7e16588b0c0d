//! Who is told of failures.

use serde::Deserialize;

use crate::config::duration::Span;
use crate::config::words::Run;

/// Commands that tell somebody.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifyConfig {
    /// Runs when a listener or job fails that did not fail the last time.
    pub(crate) failure: Option<Run>,
    /// Runs when a listener or job that failed succeeds again.
    pub(crate) recovery: Option<Run>,
    /// Runs again and again while the recorder works.
    pub(crate) heartbeat: Option<HeartbeatConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatConfig {
    pub(crate) every: Span,
    pub(crate) run: Run,
}

impl NotifyConfig {
    /// The programs in it, each with what it is for.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&'static str, &Run)> {
        let heartbeat = self.heartbeat.as_ref().map(|it| ("heartbeat", &it.run));
        let failure = self.failure.as_ref().map(|run| ("failure", run));
        let recovery = self.recovery.as_ref().map(|run| ("recovery", run));
        [failure, recovery, heartbeat].into_iter().flatten()
    }

    pub(super) fn programs_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        let heartbeat = self.heartbeat.as_mut().map(|it| &mut it.run);
        let (failure, recovery) = (self.failure.as_mut(), self.recovery.as_mut());
        [failure, recovery, heartbeat].into_iter().flatten()
    }
}
