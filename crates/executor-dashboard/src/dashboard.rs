//! Puts the pages together: a router that is built once.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use executor_core::ports::{Actions, History, LiveState};
use tokio::sync::Semaphore;

use crate::assets;
use crate::changes::{self, Changes};
use crate::pages;
use crate::pages::asked::{Acting, Site};
use crate::pages::audit::SharedAudits;
use crate::security::guard::{self, Guard};
use crate::security::login;
use crate::security::token::Token;

/// How long one page may take to read the history.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The most pages that are read at a time; more wait.
const AT_ONCE_MAX: usize = 8;

/// How many pages are read at a time: they leave half of the processors to what is recorded, and one that takes long does
/// not keep all others waiting.
fn at_once() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(2, AT_ONCE_MAX)
}

/// The largest body of a request: nothing larger than a token is sent.
const BODY_MAX: usize = 4_096;

/// Who may look.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever shows this token.
    Token(Token),
    /// Everybody who reaches the router: the program that serves it asks by itself who comes.
    Everybody,
}

/// The pages of one history. It answers on the names of this machine itself, until it is told otherwise.
pub struct Dashboard {
    history: Arc<dyn History>,
    live: Option<Arc<dyn LiveState>>,
    actions: Option<Arc<dyn Actions>>,
    database: String,
    base: String,
    guard: Guard,
    time_limit: Duration,
}

impl Dashboard {
    /// Shows this history.
    pub fn new(history: Arc<dyn History>, access: Access) -> Self {
        let dashboard = Self {
            history,
            live: None,
            actions: None,
            database: String::new(),
            base: String::new(),
            guard: Guard::default(),
            time_limit: TIME_LIMIT,
        };
        dashboard.with_access(access)
    }

    /// Says anew who may look.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.guard.token = match access {
            Access::Token(token) => Some(token),
            Access::Everybody => None,
        };
        self
    }

    /// Also shows what runs right now.
    #[must_use]
    pub fn with_live_state(mut self, live: Arc<dyn LiveState>) -> Self {
        self.live = Some(live);
        self
    }

    /// Lets whoever may look also run jobs, pause and resume listeners and jobs, and cancel what runs, on this executor.
    /// Without it, nothing can be changed. Each of these is recorded in the history, with the [`Visitor`] and the
    /// address, if the program serves the router with axum's `ConnectInfo<SocketAddr>`.
    ///
    /// [`Visitor`]: crate::Visitor
    #[must_use]
    pub fn with_actions(mut self, actions: Arc<dyn Actions>) -> Self {
        self.actions = Some(actions);
        self
    }

    /// Names the database as `--db` of the program would, for the commands that pages show. It must not hold a password.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = database.into();
        self
    }

    /// Says below which path the router is nested, such as `/telemetry`: every link begins with it.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.base = path.trim_end_matches('/').to_owned();
        self
    }

    /// Says at which port it is served: a browser may come with the names of this machine and that port. The session's
    /// cookie is named after it, because browsers share cookies between ports.
    #[must_use]
    pub fn for_port(mut self, port: u16) -> Self {
        self.guard.port = port;
        self
    }

    /// Says that there is TLS in front of it: browsers then send the cookie through nothing else.
    #[must_use]
    pub fn behind_tls(mut self) -> Self {
        self.guard.is_secure = true;
        self
    }

    /// Answers on this name too, written as in the header `host`: `dashboard.example`, or `dashboard.example:8080`.
    #[must_use]
    pub fn allowing_host(mut self, host: impl Into<String>) -> Self {
        self.guard.hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// Answers on every name, for programs that check the header `host` by themselves.
    #[must_use]
    pub fn allowing_any_host(mut self) -> Self {
        self.guard.any_host = true;
        self
    }

    /// Limits how long one page may take to read the history. The default is 10 seconds.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Returns the router, to serve or to nest.
    ///
    /// The first page that stays open starts a task of its own, so the router is to be asked within a tokio runtime.
    pub fn router(mut self) -> Router {
        self.guard.base.clone_from(&self.base);
        let changes = Changes::new(Arc::clone(&self.history), self.live.clone());
        let changes = Router::new()
            .route("/changes", get(changes::stream))
            .with_state(Arc::new(changes));
        let site = Arc::new(Site {
            history: self.history,
            live: self.live,
            database: self.database,
            base: self.base,
            time_limit: self.time_limit,
            who: match &self.guard.token {
                Some(_) => "whoever has the token",
                None => "whoever reaches it",
            },
            room: Arc::new(Semaphore::new(at_once())),
            acting: self.actions.map(|actions| Acting {
                actions,
                nonce: Token::random().ok(),
            }),
        });
        let audits = (Arc::clone(&site), Arc::new(SharedAudits::new()));
        let audits = Router::new()
            .route("/ledger/audit", get(pages::audit::page))
            .with_state(audits);
        let guard = Arc::new(self.guard);
        let own = Router::new()
            .route("/", get(pages::now::page))
            .route("/executions", get(pages::executions::page))
            .route("/executions/{id}", get(pages::execution::page))
            .route("/handlers", get(pages::handlers::page))
            .route("/executions/{id}/cancel", post(pages::acting::cancel))
            .route("/handlers/{kind}/{row}", get(pages::handler::page))
            .route("/handlers/{kind}/{row}/act", post(pages::acting::act))
            .route("/errors", get(pages::errors::page))
            .route("/timeline", get(pages::timeline::page))
            .route("/ledger", get(pages::ledger::page))
            .route("/health", get(pages::health::page))
            .fallback(pages::absent)
            .with_state(Arc::clone(&site))
            .merge(audits)
            .merge(changes);
        let signing_in = Router::new()
            .route("/login", post(login::post))
            .with_state(Arc::clone(&guard));
        let ready = Router::new()
            .route("/ready", get(pages::ready))
            .with_state(site);
        let open = Router::new()
            .route("/live", get(async || "alive\n"))
            .route("/assets/{name}", get(assets::asset));
        own.layer(from_fn_with_state(Arc::clone(&guard), login::ask_token))
            .merge(signing_in)
            .merge(ready)
            .merge(open)
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(from_fn_with_state(guard, guard::check_origin))
    }
}
