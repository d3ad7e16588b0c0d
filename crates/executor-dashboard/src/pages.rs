//! The pages. Each reads what it shows through the ports, as a value that a template shows to people and that machines
//! get as JSON.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use executor_core::ports::{History, LiveSession, LiveState, StoredSession, all_pages};
use executor_service::diagnosis::{Completeness, completeness, is_alive};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::answer::{Refused, html, wants_json};
use crate::assets::{SCRIPT, STYLE};
use crate::changes::Changes;
use crate::question::{Question, RANGES, Range, range_in_words};
use crate::shown::{self, counted, grouped};

pub(crate) mod audit;
pub(crate) mod errors;
pub(crate) mod execution;
pub(crate) mod executions;
pub(crate) mod handler;
pub(crate) mod handlers;
pub(crate) mod ledger;
pub(crate) mod now;
pub(crate) mod parts;
pub(crate) mod timeline;

/// What all pages have in common.
pub(crate) struct Site {
    pub(crate) history: Arc<dyn History>,
    pub(crate) live: Option<Arc<dyn LiveState>>,
    pub(crate) database: String,
    pub(crate) time_limit: Duration,
    /// The places of pages that read.
    pub(crate) room: Semaphore,
    pub(crate) changes: Changes,
}

/// What stands around a page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Frame {
    #[serde(skip)]
    pub(crate) style: &'static str,
    #[serde(skip)]
    pub(crate) script: &'static str,
    #[serde(skip)]
    pub(crate) title: String,
    /// How complete the history of this time is.
    pub(crate) completeness: String,
    pub(crate) is_complete: bool,
    /// The span of time in words.
    pub(crate) range: String,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    /// The query that keeps it.
    #[serde(skip)]
    pub(crate) keep: String,
    #[serde(skip)]
    pub(crate) pages: Vec<Link>,
    #[serde(skip)]
    pub(crate) ranges: Vec<Choice>,
    /// The same as a command.
    pub(crate) command: String,
}

/// A page that every page leads to, by its link or by the key `g` and this one.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) key: &'static str,
    pub(crate) is_here: bool,
}

const PAGES: [(&str, &str, &str); 6] = [
    ("Now", "/", "n"),
    ("Executions", "/executions", "e"),
    ("Handlers and jobs", "/handlers", "h"),
    ("Errors", "/errors", "r"),
    ("Timeline", "/timeline", "t"),
    ("Ledger", "/ledger", "l"),
];

/// A link among several, one of which may be where one is.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) query: String,
    pub(crate) is_here: bool,
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

    /// What runs right now; nothing where nobody can tell.
    pub(crate) async fn live(&self) -> Vec<LiveSession> {
        match &self.site.live {
            Some(live) => live.sessions().await.unwrap_or_default(),
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

    /// What stands around a page: its title, and the command that says the same.
    pub(crate) async fn frame(&self, title: &str, command: &str) -> Result<Frame, Refused> {
        let window = self.range.window();
        let live = self.live().await;
        let missing = completeness(self.history(), &window, &live, shown::now()).await?;
        let database = match self.site.database.as_str() {
            "" => String::new(),
            database => format!(" --db {}", quoted(database)),
        };
        let ranges = RANGES.iter().map(|(value, name)| Choice {
            name,
            query: self
                .question
                .with(&[("since", value), ("until", ""), ("after", "")]),
            is_here: self.range.is_open && self.question.one("since").unwrap_or("24h") == *value,
        });
        Ok(Frame {
            style: STYLE.path,
            script: SCRIPT.path,
            title: title.to_owned(),
            completeness: sentence(&missing),
            is_complete: missing.is_complete(),
            range: range_in_words(&self.question, &self.range),
            from_us: self.range.from.as_micros(),
            to_us: self.range.to.as_micros(),
            keep: self.question.range_with(&[]),
            pages: PAGES
                .iter()
                .map(|&(name, path, key)| Link {
                    name,
                    path,
                    key,
                    is_here: name == title,
                })
                .collect(),
            ranges: ranges.collect(),
            command: format!("executor {command}{database}"),
        })
    }
}

/// A word of a command line for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=+,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// How complete a time is, in a sentence.
fn sentence(found: &Completeness) -> String {
    let mut parts = Vec::new();
    if found.lost() > 0 {
        parts.push(format!("{} lost", counted(found.lost(), "record")));
    }
    if found.unsettled > 0 {
        let dead = counted(found.unsettled, "process");
        parts.push(format!(
            "the last records of {dead} that died are not stored yet"
        ));
    }
    if found.pruned > 0 {
        parts.push(format!("{} pruned", grouped(found.pruned)));
    }
    let mut sentence = match parts.is_empty() {
        true => "Complete: nothing is missing".to_owned(),
        false => format!("Incomplete: {}", parts.join("; ")),
    };
    if found.missed > 0 {
        sentence += &format!(" · {} missed", counted(found.missed, "planned run"));
    }
    sentence
}

/// Makes a page within the time that it may take.
pub(crate) async fn answer<P: Template + Serialize, F>(
    site: Arc<Site>,
    headers: &HeaderMap,
    pairs: Vec<(String, String)>,
    make: impl FnOnce(Asked) -> F,
) -> Response
where
    F: Future<Output = Result<P, Refused>>,
{
    let question = Question::new(pairs);
    let made = async {
        let _place = site.room.acquire().await.map_err(|_| Refused::TooLong)?;
        let range = question.range(shown::now())?;
        make(Asked {
            site: Arc::clone(&site),
            question,
            range,
        })
        .await
    };
    let wants_json = wants_json(headers);
    match timeout(site.time_limit, made).await {
        Ok(Ok(page)) if wants_json => Json(&page).into_response(),
        Ok(Ok(page)) => html(&page),
        Ok(Err(refused)) => refused.response(wants_json),
        Err(_) => Refused::TooLong.response(wants_json),
    }
}

pub(crate) async fn absent(headers: HeaderMap, OriginalUri(uri): OriginalUri) -> Response {
    let what = format!("no page is at `{}`", uri.path());
    Refused::Absent(what).response(wants_json(&headers))
}

/// Whether the history can be read, in a word.
pub(crate) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let request = executor_core::ports::PageRequest::first(1);
    let asked = timeout(site.time_limit, site.history.sessions(request)).await;
    match asked {
        Ok(Ok(_)) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}
