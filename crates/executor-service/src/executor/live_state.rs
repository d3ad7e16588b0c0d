//! What this executor does now.

use executor_core::ports::{HistoryFuture, LiveSession, LiveState};

use super::CommandExecutor;
use crate::recovery::machine::seen;

impl LiveState for CommandExecutor {
    /// Returns one session, this executor's. With a spool it lists what runs; in memory it only counts.
    fn sessions(&self) -> HistoryFuture<'_, Vec<LiveSession>> {
        Box::pin(async move {
            let session = (*self.service.session).clone();
            let mut live = match self.service.intake.spool_dir() {
                None => LiveSession::new(session, true),
                Some(dir) => match tokio::task::spawn_blocking(move || seen(&dir)).await {
                    Ok(mut live) => {
                        live.session = session;
                        live.is_alive = true;
                        live
                    }
                    // Only a runtime that ends cancels it.
                    Err(_) => LiveSession::new(session, true),
                },
            };
            // These are exact; what a file shows may be a moment old.
            let ledger = self.ledger();
            live.waiting = ledger.waiting + ledger.spooled;
            live.ledger = Some(ledger);
            live.unlisted = self.running().saturating_sub(live.running.len());
            Ok(vec![live])
        })
    }
}
