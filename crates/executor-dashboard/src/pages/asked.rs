//! A page that is being made: what it is asked, and of which history.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Actions, History, LiveSession, LiveState, StoredSession, all_pages};
use executor_service::diagnosis::{Completeness, completeness, is_alive};
use tokio::sync::{OnceCell, Semaphore};

use crate::answer::Refused;
use crate::question::{Question, Range};
use crate::security::token::Token;
use crate::shown;

/// What all pages have in common.
pub(crate) struct Site {
    pub(crate) history: Arc<dyn History>,
    pub(crate) live: Option<Arc<dyn LiveState>>,
    pub(crate) database: String,
    /// Below which path it is nested.
    pub(crate) base: String,
    pub(crate) time_limit: Duration,
    /// Who may look, in words.
    pub(crate) who: &'static str,
    /// The places of pages that read.
    pub(crate) room: Arc<Semaphore>,
    /// What people may do.
    pub(crate) acting: Option<Acting>,
}

/// A running executor, and what a form has to show so that only pages of this dashboard can ask it for something.
pub(crate) struct Acting {
    pub(crate) actions: Arc<dyn Actions>,
    /// None if the system has no random numbers: then nobody may do anything.
    pub(crate) nonce: Option<Token>,
}

impl Acting {
    /// What a form has to show, for a page.
    pub(crate) fn nonce(&self) -> Option<String> {
        self.nonce.as_ref().map(|it| it.as_str().to_owned())
    }
}

/// A page that is being made.
pub(crate) struct Asked {
    pub(crate) site: Arc<Site>,
    pub(crate) question: Question,
    pub(crate) range: Range,
    // What several parts of a page need is read once.
    live: OnceCell<Vec<LiveSession>>,
    sessions: OnceCell<Vec<StoredSession>>,
    missing: OnceCell<Completeness>,
    /// Why it cannot be seen what runs.
    blind: OnceCell<String>,
}

impl Asked {
    pub(crate) fn new(site: Arc<Site>, question: Question, range: Range) -> Self {
        Self {
            site,
            question,
            range,
            live: OnceCell::new(),
            sessions: OnceCell::new(),
            missing: OnceCell::new(),
            blind: OnceCell::new(),
        }
    }

    pub(crate) fn history(&self) -> &dyn History {
        self.site.history.as_ref()
    }

    /// An address of the dashboard.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.site.base)
    }

    /// What runs right now; nothing where nobody can tell.
    pub(crate) async fn live(&self) -> &[LiveSession] {
        let read = async || match &self.site.live {
            Some(live) => live.sessions().await.unwrap_or_else(|error| {
                let _ = self.blind.set(format!("{error}: {}", error.source));
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "what runs cannot be seen");
                Vec::new()
            }),
            None => Vec::new(),
        };
        self.live.get_or_init(read).await
    }

    /// Why it could not be seen what runs, once that was looked for.
    pub(crate) fn blind(&self) -> Option<&str> {
        self.blind.get().map(String::as_str)
    }

    /// What is missing in the range.
    pub(crate) async fn missing(&self) -> Result<&Completeness, Refused> {
        let read = async || {
            let (window, live) = (self.range.window(), self.live().await);
            completeness(self.history(), &window, live, shown::now()).await
        };
        Ok(self.missing.get_or_try_init(read).await?)
    }

    /// All sessions, the latest first.
    pub(crate) async fn sessions(&self) -> Result<&[StoredSession], Refused> {
        let history = self.history();
        let read = async || all_pages(|page| history.sessions(page)).await;
        Ok(self.sessions.get_or_try_init(read).await?)
    }

    /// The sessions whose processes are alive, the latest first.
    pub(crate) async fn living(&self) -> Result<Vec<StoredSession>, Refused> {
        let (live, now) = (self.live().await, shown::now());
        let sessions = self.sessions().await?.iter();
        let living = sessions.filter(|stored| is_alive(stored, live, now));
        Ok(living.cloned().collect())
    }
}
