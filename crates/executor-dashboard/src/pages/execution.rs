//! One execution: when it was due and began, how long it took, why it ended as it did, what it said, and what was before
//! and after it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::lines::Lines;
use executor_core::ports::{Filter, Order, PageRequest, Scope, StoredExecution, all_pages};
use executor_core::record::ExecutionRecord;
use executor_core::{EntityKind, ExecutionId, RegistrationId, Status, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::Refused;
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::answer;
use crate::pages::parts::Row;
use crate::pages::processes::name;
use crate::shown;

/// How many that ran meanwhile are named.
const BESIDE: u32 = 20;

/// What it has in common with the one that it is compared to goes beside it.
#[derive(Template, Serialize)]
#[template(path = "execution.html")]
struct Execution {
    frame: Frame,
    execution: Row,
    #[serde(skip)]
    facts: Vec<Fact>,
    error_type: String,
    error_message: String,
    error_report: String,
    lines: Vec<Said>,
    #[serde(skip)]
    kept: String,
    last_success: Option<Row>,
    success_lines: Vec<Said>,
    previous: Option<Row>,
    next: Option<Row>,
    beside: Vec<Row>,
    has_more_beside: bool,
}

impl Framed for Execution {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// A label and what it says.
struct Fact {
    label: &'static str,
    value: String,
    /// What shows on pointing at it.
    title: String,
    link: String,
}

/// A line of what an execution said.
#[derive(Clone, Serialize)]
struct Said {
    kind: &'static str,
    text: String,
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, |asked| make(asked, id)).await
}

async fn make(asked: Asked, id: String) -> Result<Execution, Refused> {
    let absent = || Refused::Absent(format!("no execution has the id `{id}`"));
    let uuid = Uuid::try_parse(&id).map_err(|_| absent())?;
    let history = asked.history();
    let stored = history.execution(ExecutionId::from_uuid(uuid)).await?;
    let stored = stored.ok_or_else(absent)?;
    let record = &stored.record;
    let around = Around::read(&asked, &stored).await?;
    let success = match &around.last_success {
        Some(it) => history.execution(it.record.execution_id).await?,
        None => None,
    };
    let failure = record.failure.as_deref();
    let text = |of: Option<&str>| of.unwrap_or_default().to_owned();
    let short = record.execution_id.short();
    Ok(Execution {
        frame: asked
            .timeless_frame(&short, &format!("show {short}"))
            .await?,
        facts: facts(&asked, &stored).await?,
        error_type: text(failure.map(|it| it.error_type.as_str())),
        error_message: text(failure.map(|it| it.message.as_str())),
        error_report: text(failure.and_then(|it| it.report.as_deref())),
        lines: said(record),
        kept: kept(record),
        success_lines: success
            .as_ref()
            .map_or_else(Vec::new, |it| said(&it.record)),
        last_success: around.last_success.as_ref().map(Row::of),
        previous: around.previous.as_ref().map(Row::of),
        next: around.next.as_ref().map(Row::of),
        beside: around
            .beside
            .iter()
            .take(BESIDE as usize)
            .map(Row::of)
            .collect(),
        has_more_beside: around.beside.len() > BESIDE as usize,
        execution: Row::of(&stored),
    })
}

fn said(record: &ExecutionRecord) -> Vec<Said> {
    let lines = record.lines.as_deref().into_iter();
    let lines = lines.flat_map(Lines::iter);
    let said = lines.map(|line| Said {
        kind: line.kind.as_str(),
        text: line.text.to_owned(),
    });
    said.collect()
}

fn kept(record: &ExecutionRecord) -> String {
    match record.lines.as_deref() {
        Some(lines) if lines.is_binary() => "a binary output, of which nothing is kept".into(),
        Some(lines) if lines.kept() < lines.total() => format!(
            "{} of {} lines are kept",
            shown::grouped(lines.kept()),
            shown::grouped(lines.total())
        ),
        Some(lines) => shown::counted(lines.total(), "line"),
        None => "it said nothing".into(),
    }
}

async fn facts(asked: &Asked, stored: &StoredExecution) -> Result<Vec<Fact>, Refused> {
    let record = &stored.record;
    let plain = |label, value: String| Fact {
        label,
        value,
        title: String::new(),
        link: String::new(),
    };
    let moment = |label, at: Timestamp| Fact {
        title: shown::utc(at),
        ..plain(label, shown::exact(at))
    };
    let mut facts = Vec::new();
    if let Some(due) = record.due_at {
        facts.push(moment("due", due));
        let late = record.started_at.saturating_duration_since(due);
        facts.push(plain("late by", shown::took(late)));
    }
    facts.push(moment("started", record.started_at));
    facts.push(moment("ended", record.ended_at()));
    facts.push(plain("took", shown::took_of(stored)));
    facts.push(plain("began by", trigger(record)));
    if let Some(code) = record.exit_code {
        facts.push(plain("exit status", code.to_string()));
    }
    let history = asked.history();
    let sessions = all_pages(|page| history.sessions(page)).await?;
    let process = sessions.iter().find(|it| it.session.id == stored.session);
    if let Some(process) = process {
        let pid = process.session.pid;
        facts.push(plain("process", format!("{}, {pid}", name(process))));
    }
    let session = stored.session.to_string();
    facts.push(Fact {
        link: asked.link(&format!(
            "/executions?{}",
            asked.question.range_with(&[("session", &session)])
        )),
        ..plain("session", session)
    });
    facts.push(plain("id", record.execution_id.to_string()));
    if let Some(arguments) = &record.arguments_json {
        facts.push(plain("arguments", arguments.to_string()));
    }
    Ok(facts)
}

fn trigger(record: &ExecutionRecord) -> String {
    let entity = &record.subject.entity;
    match entity.kind {
        EntityKind::Job => record.due_at.map_or("hand", |_| "its schedule").to_owned(),
        EntityKind::Listener => {
            let topic = record.topic.as_deref().unwrap_or(&entity.topic);
            match record.trigger.id() {
                Some(id) => format!("event {id} on {topic}"),
                None => format!("an event on {topic}"),
            }
        }
    }
}

/// What was before, after and beside an execution.
struct Around {
    previous: Option<StoredExecution>,
    next: Option<StoredExecution>,
    last_success: Option<StoredExecution>,
    beside: Vec<StoredExecution>,
}

impl Around {
    async fn read(asked: &Asked, stored: &StoredExecution) -> Result<Self, Refused> {
        let record = &stored.record;
        let (ended, id) = (record.ended_at(), record.execution_id);
        let own = record.subject.row.map(|row| {
            Scope::Registration(RegistrationId {
                kind: record.subject.entity.kind,
                row,
            })
        });
        let mut around = Self {
            previous: None,
            next: None,
            last_success: None,
            beside: beside(asked, record).await?,
        };
        let Some(scope) = own else {
            return Ok(around);
        };
        let of_it = Filter {
            scope,
            ..Filter::default()
        };
        let before = Filter {
            to: Some(ended),
            ..of_it.clone()
        };
        let after = Filter {
            from: Some(ended),
            ..of_it
        };
        let succeeded = Filter {
            statuses: vec![Status::Success],
            ..before.clone()
        };
        around.previous = first(asked, before, Order::LatestFirst, id).await?;
        around.last_success = first(asked, succeeded, Order::LatestFirst, id).await?;
        around.next = first(asked, after, Order::OldestFirst, id).await?;
        Ok(around)
    }
}

/// The first that a filter selects and that is another one.
async fn first(
    asked: &Asked,
    filter: Filter,
    order: Order,
    but: ExecutionId,
) -> Result<Option<StoredExecution>, Refused> {
    let request = PageRequest {
        order,
        ..PageRequest::first(2)
    };
    let page = asked.history().executions(filter, request).await?;
    let mut items = page.items.into_iter();
    Ok(items.find(|it| it.record.execution_id != but))
}

async fn beside(asked: &Asked, record: &ExecutionRecord) -> Result<Vec<StoredExecution>, Refused> {
    let filter = Filter {
        from: Some(record.started_at),
        started_before: Some(record.ended_at()),
        ..Filter::default()
    };
    let request = PageRequest {
        order: Order::OldestFirst,
        ..PageRequest::first(BESIDE + 2)
    };
    let page = asked.history().executions(filter, request).await?;
    let mut items = page.items;
    items.retain(|it| it.record.execution_id != record.execution_id);
    Ok(items)
}
