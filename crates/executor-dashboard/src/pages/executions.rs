//! Executions: a list with facets, read page by page.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::ports::{Filter, Order, PageRequest, PageToken, Scope};
use executor_core::{EntityKind, SessionId, Status};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::Refused;
use crate::pages::parts::{FAILED, Moment, Row, registrations};
use crate::pages::{Asked, Frame, Site, answer, quoted};
use crate::question::{Question, length};
use crate::shown;

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
}

/// A value that may be chosen.
struct Facet {
    name: String,
    is_chosen: bool,
}

/// What is in the fields.
struct Fields {
    since: String,
    until: String,
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
    let filter = filter(&asked)?;
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
    let statuses = Status::ALL.iter();
    let kinds = EntityKind::ALL.iter();
    let apps = apps(asked).await?;
    Ok(Executions {
        frame: asked.frame("Executions", &command(question)).await?,
        executions,
        next,
        searched_to,
        statuses: statuses.map(|it| facet("status", it.as_str())).collect(),
        kinds: kinds.map(|it| facet("kind", shown::kind_of(*it))).collect(),
        apps: apps.iter().map(|it| facet("app", it)).collect(),
        asked: Fields {
            since: field("since"),
            until: field("until"),
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

fn filter(asked: &Asked) -> Result<Filter, Refused> {
    let question = &asked.question;
    let text = |name: &str| question.one(name).map(ToOwned::to_owned);
    Ok(Filter {
        scope: text("app").map_or(Scope::All, Scope::App),
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

/// The same list from the program.
fn command(question: &Question) -> String {
    let mut words = vec!["ls".to_owned()];
    let mut add = |flag: &str, value: Option<&str>| {
        words.extend(value.map(|value| format!("--{flag} {}", quoted(value))));
    };
    let statuses: Vec<&str> = question.all("status").collect();
    let statuses = statuses.join(",");
    add("since", question.one("since").or(Some("24h")));
    add("until", question.one("until"));
    add("app", question.one("app"));
    add("kind", question.one("kind"));
    add(
        "status",
        Some(statuses.as_str()).filter(|it| !it.is_empty()),
    );
    add("error", question.one("error"));
    add("min-duration", question.one("longer"));
    add("session", question.one("session"));
    words.join(" ")
}
