//! A page that is being made: what it is asked, and of which history.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{History, LiveSession, LiveState, StoredSession, all_pages};
use executor_service::diagnosis::is_alive;
use tokio::sync::Semaphore;

use crate::answer::Refused;
use crate::question::{Question, Range};
use crate::shown;

/// What all pages have in common.
pub(crate) struct Site {
    pub(crate) history: Arc<dyn History>,
    pub(crate) live: Option<Arc<dyn LiveState>>,
    pub(crate) database: String,
    /// Below which path it is nested.
    pub(crate) base: String,
    pub(crate) time_limit: Duration,
    /// The places of pages that read.
    pub(crate) room: Arc<Semaphore>,
    /// The place of an audit, which reads everything.
    pub(crate) audits: Arc<Semaphore>,
}

/// A page that is being made.
pub(crate) struct Asked {
    pub(crate) site: Arc<Site>,
    pub(crate) question: Question,
    pub(crate) range: Range,
}

impl Asked {
    pub(crate) fn history(&self) -> &dyn History {
        self.site.history.as_ref()
    }

    /// An address of the dashboard.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.site.base)
    }

    /// What runs right now; nothing where nobody can tell.
    pub(crate) async fn live(&self) -> Vec<LiveSession> {
        match &self.site.live {
            Some(live) => live.sessions().await.unwrap_or_else(|error| {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "what runs cannot be seen");
                Vec::new()
            }),
            None => Vec::new(),
        }
    }

    /// The sessions whose processes are alive, the latest first.
    pub(crate) async fn living(&self, live: &[LiveSession]) -> Result<Vec<StoredSession>, Refused> {
        let history = self.history();
        let mut sessions = all_pages(|page| history.sessions(page)).await?;
        let now = shown::now();
        sessions.retain(|stored| is_alive(stored, live, now));
        Ok(sessions)
    }
}
