//! Executions: a list with facets, read page by page.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::ports::{Filter, Order, PageRequest, PageToken, Scope, StoredRegistration};
use executor_core::{EntityKind, SessionId, Status};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::Refused;
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::answer;
use crate::pages::parts::{FAILED, Moment, Row, registration, registrations};
use crate::question::{Question, length};
use crate::shown::{self, quoted};

/// Executions on a page.
const PAGE: u32 = 50;

/// How many executions an id may mean before it is asked for more of it.
const CANDIDATES: u32 = 20;

#[derive(Template, Serialize)]
#[template(path = "executions.html")]
struct Executions {
    frame: Frame,
    executions: Vec<Row>,
    /// Behind the last one.
    next: Option<String>,
    /// Up to where a search came within its time, if it did not reach the end.
    #[serde(rename = "searched_to_us")]
    searched_to: Option<Moment>,
    #[serde(skip)]
    statuses: Vec<Facet>,
    #[serde(skip)]
    apps: Vec<Facet>,
    #[serde(skip)]
    kinds: Vec<Facet>,
    #[serde(skip)]
    asked: Fields,
    #[serde(skip)]
    first: String,
    /// The listener or job that the list is of.
    of: String,
    #[serde(skip)]
    without_of: String,
}

impl Framed for Executions {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// A value that may be chosen.
struct Facet {
    name: String,
    is_chosen: bool,
}

/// What is in the fields.
struct Fields {
    of: String,
    error: String,
    said: String,
    longer: String,
    session: String,
    id: String,
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, make).await
}

async fn make(asked: Asked) -> Result<Executions, Refused> {
    let question = &asked.question;
    if let Some(id) = question.one("id") {
        return by_id(&asked, id).await;
    }
    let filter = filter(&asked).await?;
    let request = PageRequest {
        limit: PAGE,
        order: Order::LatestFirst,
        after: question
            .one("after")
            .map(|it| PageToken::from(it.to_owned())),
    };
    let page = asked.history().executions(filter, request).await?;
    let next = page
        .next
        .as_ref()
        .map(|it| question.with(&[("after", it.as_str())]));
    let rows = page.items.iter().map(Row::of).collect();
    let searched_to = page.searched_to.map(Moment);
    made(&asked, rows, next, searched_to).await
}

/// Finds by an id or its beginning, and goes to the only one that it may mean.
async fn by_id(asked: &Asked, id: &str) -> Result<Executions, Refused> {
    let found = asked.history().find(id.to_owned(), CANDIDATES).await?;
    match found.as_slice() {
        [] => Err(Refused::Absent(format!("no execution has the id `{id}`"))),
        [one] => Err(Refused::Elsewhere(format!(
            "/executions/{}?{}",
            one.record.execution_id,
            asked.question.range_with(&[])
        ))),
        several => made(asked, several.iter().map(Row::of).collect(), None, None).await,
    }
}

async fn made(
    asked: &Asked,
    executions: Vec<Row>,
    next: Option<String>,
    searched_to: Option<Moment>,
) -> Result<Executions, Refused> {
    let question = &asked.question;
    let field = |name: &str| question.one(name).unwrap_or_default().to_owned();
    let facet = |part: &str, name: &str| Facet {
        name: name.to_owned(),
        is_chosen: question.has(part, name),
    };
    let chosen = statuses(question)?;
    let statuses = Status::ALL.iter();
    let statuses = statuses.map(|it| Facet {
        name: it.as_str().to_owned(),
        is_chosen: chosen.contains(it),
    });
    let of = of(asked).await?;
    let of = of
        .map(|it| it.registration.entity.path())
        .unwrap_or_default();
    let kinds = EntityKind::ALL.iter();
    let apps = apps(asked).await?;
    Ok(Executions {
        frame: frame(asked).await?,
        executions,
        next,
        searched_to,
        statuses: statuses.collect(),
        of,
        without_of: question.with(&[("of", ""), ("after", "")]),
        kinds: kinds.map(|it| facet("kind", shown::kind_of(*it))).collect(),
        apps: apps.iter().map(|it| facet("app", it)).collect(),
        asked: Fields {
            of: field("of"),
            error: field("error"),
            said: field("said"),
            longer: field("longer"),
            session: field("session"),
            id: field("id"),
        },
        first: question.with(&[("after", "")]),
    })
}

/// The apps of what is registered, in the order of their names.
async fn apps(asked: &Asked) -> Result<Vec<String>, Refused> {
    let mut apps = Vec::new();
    for kind in EntityKind::ALL {
        let all = registrations(asked, kind).await?;
        apps.extend(all.iter().map(|it| it.registration.entity.app_key.clone()));
    }
    apps.sort();
    apps.dedup();
    Ok(apps)
}

async fn filter(asked: &Asked) -> Result<Filter, Refused> {
    let question = &asked.question;
    let text = |name: &str| question.one(name).map(ToOwned::to_owned);
    Ok(Filter {
        scope: match of(asked).await? {
            Some(registered) => Scope::Registration(registered.id),
            None => text("app").map_or(Scope::All, Scope::App),
        },
        statuses: statuses(question)?,
        kind: question.one("kind").map(kind).transpose()?,
        session: question.one("session").map(session).transpose()?,
        source_tier: None,
        from: Some(asked.range.from),
        to: asked.range.window().to,
        started_before: None,
        min_duration: question.one("longer").map(length).transpose()?,
        error_text: text("error"),
        line_text: text("said"),
    })
}

/// The listener or job that is asked for, as its page's path names it.
async fn of(asked: &Asked) -> Result<Option<StoredRegistration>, Refused> {
    let Some(of) = asked.question.one("of") else {
        return Ok(None);
    };
    let (kind, row) = of.split_once('/').unwrap_or((of, ""));
    Ok(Some(registration(asked, kind, row).await?))
}

fn statuses(question: &Question) -> Result<Vec<Status>, Refused> {
    let mut statuses = Vec::new();
    for name in question.all("status") {
        match Status::ALL.into_iter().find(|it| it.as_str() == name) {
            Some(status) => statuses.push(status),
            None if name == "failed" => statuses.extend(FAILED),
            None => return Err(Refused::bad(format!("`{name}` is no outcome"))),
        }
    }
    Ok(statuses)
}

fn kind(name: &str) -> Result<EntityKind, Refused> {
    let mut all = EntityKind::ALL.into_iter();
    all.find(|it| shown::kind_of(*it) == name)
        .ok_or_else(|| Refused::bad(format!("`{name}` is neither `listener` nor `job`")))
}

fn session(id: &str) -> Result<SessionId, Refused> {
    let uuid = Uuid::try_parse(id);
    uuid.map(SessionId::from_uuid)
        .map_err(|_| Refused::bad(format!("`{id}` is not the id of a session")))
}

/// The same list from the program: `show` has one by its id, and `logs` looks for what was said.
async fn frame(asked: &Asked) -> Result<Frame, Refused> {
    let question = &asked.question;
    if let Some(id) = question.one("id") {
        let command = format!("show {}", quoted(id));
        return asked.timeless_frame("Executions", &command).await;
    }
    let mut words = Vec::new();
    let mut add = |flag: &str, value: Option<&str>| {
        words.extend(value.map(|value| format!("--{flag} {}", quoted(value))));
    };
    let of = of(asked).await?;
    let entity = of.as_ref().map(|it| it.registration.entity.as_ref());
    let statuses = statuses(question)?;
    let names: Vec<&str> = statuses.iter().map(|it| it.as_str()).collect();
    let names = names.join(",");
    add(
        "app",
        entity
            .map(|it| it.app_key.as_str())
            .or_else(|| question.one("app")),
    );
    add("name", entity.map(|it| it.name.as_str()));
    add("kind", question.one("kind"));
    add("status", Some(names.as_str()).filter(|it| !it.is_empty()));
    add("error", question.one("error"));
    add("min-duration", question.one("longer"));
    add("session", question.one("session"));
    add("grep", question.one("said"));
    let verb = if question.one("said").is_some() {
        "logs"
    } else {
        "ls"
    };
    asked.frame("Executions", verb, &words.join(" ")).await
}
