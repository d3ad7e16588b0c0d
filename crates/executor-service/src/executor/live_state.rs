//! Shows what this executor is doing now.

use executor_core::ports::{HistoryFuture, LiveSession, LiveState};

use super::CommandExecutor;
use crate::recovery::machine::seen;

impl LiveState for CommandExecutor {
    /// Returns one session, this executor's; none once it has stopped. With a spool it lists the running executions
    /// and counts those that wait in line; in memory it counts both.
    fn sessions(&self) -> HistoryFuture<'_, Vec<LiveSession>> {
        Box::pin(async move {
            if self.service.is_gone() {
                return Ok(Vec::new());
            }
            let session = (*self.service.session).clone();
            let mut live = match self.service.intake.spool_dir() {
                None => LiveSession::new(session, true),
                Some(dir) => match tokio::task::spawn_blocking(move || seen(&dir)).await {
                    Ok(mut live) => {
                        live.session = session;
                        live.is_alive = true;
                        live
                    }
                    Err(error) => {
                        let mut live = LiveSession::new(session, true);
                        live.unreadable = Some(error.to_string());
                        live
                    }
                },
            };
            // These counts are exact; those in a file may be a moment old.
            let ledger = self.ledger();
            live.waiting = ledger.waiting + ledger.spooled;
            live.ledger = Some(ledger);
            live.unlisted = self.running().saturating_sub(live.running.len());
            Ok(vec![live])
        })
    }
}
