//! One execution: when it was due and began, how long it took, why it ended as it did, what it said, and what was before
//! and after it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::lines::Lines;
use executor_core::ports::StoredExecution;
use executor_core::record::ExecutionRecord;
use executor_core::{EntityKind, ExecutionId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::Refused;
use crate::charts::{Life, Svg, lanes, life};
use crate::pages::acting::{Done, asked_for};
use crate::pages::around::{Around, BESIDE};
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::answer;
use crate::pages::parts::{Moment, Row, gaps};
use crate::pages::processes::{drawn, name};
use crate::pages::timeline::{lanes_of, losses};
use crate::question::Range;
use crate::shown;

/// What it has in common with the one that it is compared to goes beside it.
#[derive(Template, Serialize)]
#[template(path = "execution.html")]
struct Execution {
    frame: Frame,
    execution: Row,
    #[serde(skip)]
    facts: Vec<Fact>,
    /// Due, late, run and deadline.
    #[serde(skip)]
    life: Svg,
    alike: Option<Alike>,
    /// What people asked of it.
    asked_for: Vec<Done>,
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
    /// Lanes of it and of what ran meanwhile.
    #[serde(skip)]
    lanes: Svg,
    /// The same time on the timeline.
    #[serde(skip)]
    timeline: String,
}

/// Failures of the same kind, in the week around it.
#[derive(Serialize)]
struct Alike {
    count: u64,
    /// Whether only the latest failures were looked at.
    at_least: bool,
    #[serde(rename = "first_us")]
    first: Moment,
    #[serde(rename = "last_us")]
    last: Moment,
    last_id: String,
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

impl Fact {
    const fn new(label: &'static str, value: String) -> Self {
        Self {
            label,
            value,
            title: String::new(),
            link: String::new(),
        }
    }

    fn at(label: &'static str, at: Timestamp) -> Self {
        Self {
            title: shown::utc(at),
            ..Self::new(label, shown::exact(at))
        }
    }
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
    let span = span_of(record);
    let beside = around.beside.iter().take(BESIDE as usize);
    let together: Vec<_> = [&stored].into_iter().chain(beside).cloned().collect();
    let failure = record.failure.as_deref();
    let text = |of: Option<&str>| of.unwrap_or_default().to_owned();
    let short = record.execution_id.short();
    // It was asked to end, or somebody asked for it.
    let id = record.execution_id.to_string();
    let title = format!(
        "{}, {}, {}",
        record.subject.entity.path(),
        shown::time(record.ended_at()),
        record.status.as_str()
    );
    Ok(Execution {
        frame: asked
            .timeless_frame(&title, &format!("show {short}"))
            .await?,
        facts: facts(&asked, &stored, &around).await?,
        asked_for: asked_for(&asked, |it| it.target == id || it.outcome.contains(&id)).await?,
        life: life(&Life {
            due: record.due_at,
            began: record.started_at,
            ended: record.ended_at(),
            deadline: around
                .timeout
                .map(|it| record.started_at.saturating_add(it)),
            class: record.status.as_str(),
        }),
        alike: around.alike.as_ref().map(|(group, at_least)| Alike {
            count: group.count,
            at_least: *at_least,
            first: Moment(group.first_at),
            last: Moment(group.last_at),
            last_id: group.last.to_string(),
        }),
        lanes: lanes(
            &lanes_of(&asked, &span, &together),
            &losses(&span, &gaps(&asked, &span).await?),
            &drawn(asked.sessions().await?, &span),
            (span.from, span.to),
        ),
        timeline: span_query(&span),
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

/// The time of an execution, and a tenth of it before and after.
fn span_of(record: &ExecutionRecord) -> Range {
    let began = record.started_at;
    let from = record.due_at.map_or(began, |due| due.min(began));
    let to = record.ended_at();
    let margin = (to.saturating_duration_since(from) / 10).max(Duration::from_millis(10));
    Range {
        from: from.saturating_sub(margin),
        to: to.saturating_add(margin),
        is_open: false,
    }
}

fn span_query(span: &Range) -> String {
    format!(
        "since={}&until={}",
        span.from.as_micros(),
        span.to.as_micros()
    )
}

async fn facts(
    asked: &Asked,
    stored: &StoredExecution,
    around: &Around,
) -> Result<Vec<Fact>, Refused> {
    let mut facts = times(stored, around);
    facts.extend(notable(&stored.record));
    let sessions = asked.sessions().await?;
    let process = sessions.iter().find(|it| it.session.id == stored.session);
    facts.extend(
        process.map(|it| Fact::new("process", format!("{}, {}", name(it), it.session.pid))),
    );
    let session = stored.session.to_string();
    let of_session = asked.question.range_with(&[("session", &session)]);
    facts.push(Fact {
        link: asked.link(&format!("/executions?{of_session}")),
        ..Fact::new("session", session)
    });
    facts.push(Fact::new("id", stored.record.execution_id.to_string()));
    let arguments = stored.record.arguments_json.as_deref();
    facts.extend(arguments.map(|it| Fact::new("arguments", it.to_owned())));
    Ok(facts)
}

/// When it was due, began, ended and had to end, and how long it took and usually takes.
fn times(stored: &StoredExecution, around: &Around) -> Vec<Fact> {
    let record = &stored.record;
    let mut facts = Vec::new();
    if let Some(due) = record.due_at {
        let late = record.started_at.saturating_duration_since(due);
        facts.extend([
            Fact::at("due", due),
            Fact::new("late by", shown::took(late)),
        ]);
    }
    facts.push(Fact::at("started", record.started_at));
    facts.push(Fact::at("ended", record.ended_at()));
    facts.push(Fact::new("took", shown::took_of(stored)));
    if around.usual.runs() > 0 {
        let (p50, p95) = (shown::took(around.usual.p50), shown::took(around.usual.p95));
        facts.push(Fact {
            title: "in the week around it".into(),
            ..Fact::new(
                "usually",
                format!("half within {p50}, 95 of 100 within {p95}"),
            )
        });
    }
    facts.extend(around.timeout.map(|timeout| {
        let deadline = record.started_at.saturating_add(timeout);
        Fact {
            title: format!("{}, as it is registered now", shown::utc(deadline)),
            ..Fact::at("deadline", deadline)
        }
    }));
    facts
}

/// What is not so of every execution, and what began it.
fn notable(record: &ExecutionRecord) -> Vec<Fact> {
    let held = record.flags.blocked.map(|blocked| {
        let held = format!("held its thread for {} at once", shown::took(blocked));
        Fact::new("longest poll", held)
    });
    let left = record
        .flags
        .thread_leaked
        .then(|| Fact::new("thread", "was still running when it ended".into()));
    let code = record
        .exit_code
        .map(|code| Fact::new("exit status", code.to_string()));
    let began = Fact::new("began by", trigger(record));
    held.into_iter()
        .chain(left)
        .chain([began])
        .chain(code)
        .collect()
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
