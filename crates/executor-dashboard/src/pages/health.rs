//! Health and settings: whether everything is as it should be, and how it is set up.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::EntityKind;
use executor_core::ports::{
    LiveSession, Orphan, PageRequest, SessionStatus, SourceCounts, StoredSession, Window,
};
use executor_service::diagnosis::is_alive;
use serde::Serialize;

use crate::answer::Refused;
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::answer;
use crate::pages::parts::{Moment, path_of, registrations};
use crate::pages::processes::name;
use crate::pages::settings::settings;
use crate::shown::{self, counted};

/// How many sources of events, and topics of each that nobody listens to, are shown.
const SOURCES_MAX: usize = 50;
const TOPICS_MAX: usize = 5;

/// How many listeners and jobs are shown with their settings.
const REGISTERED_MAX: usize = 200;

/// How many sessions that did not end well are named, the latest.
const CRASHED_MAX: usize = 10;

/// How many of the latest pauses are looked at.
const PAUSES_MAX: u32 = 1_000;

/// Clocks that differ by less than this agree.
const CLOCKS_AGREE_US: i64 = 1_000_000;

#[derive(Template, Serialize)]
#[template(path = "health.html")]
struct Health {
    frame: Frame,
    /// What is not as it should be.
    findings: Vec<Finding>,
    processes: Vec<Process>,
    sources: Vec<Source>,
    has_more_sources: bool,
    registered: Vec<Registered>,
    more_registered: usize,
    settings: Vec<(&'static str, String)>,
}

impl Framed for Health {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// Something that is not as it should be, and what to do.
#[derive(Serialize)]
struct Finding {
    found: String,
    remedy: &'static str,
}

/// A process that is alive.
#[derive(Serialize)]
struct Process {
    name: String,
    pid: u32,
    #[serde(rename = "since_us")]
    since: Moment,
    #[serde(rename = "heartbeat_us")]
    heartbeat: Moment,
    waiting: u64,
    /// What its waiting records survive.
    durability: &'static str,
    config_hash: String,
}

/// A source of events, of one session.
#[derive(Serialize)]
struct Source {
    name: String,
    lines: u64,
    events: u64,
    bad_lines: u64,
    unheard: u64,
    /// The topics that nobody listens to, the most frequent first.
    topics: Vec<String>,
    /// The first line that was no event, and why.
    bad_line: String,
}

/// A listener or job, and how it is set up.
#[derive(Serialize)]
struct Registered {
    kind: &'static str,
    what: String,
    path: String,
    settings: Vec<(&'static str, String)>,
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, make).await
}

async fn make(asked: Asked) -> Result<Health, Refused> {
    let (history, window) = (asked.history(), asked.range.window());
    let living = asked.living().await?;
    let live = asked.live().await;
    let request = PageRequest::first(SOURCES_MAX as u32);
    let page = history.sources(window, request).await?;
    let (sources, has_more_sources) = (page.items, page.next.is_some());
    let mut registered = registered_in(&asked).await?;
    let more_registered = registered.len().saturating_sub(REGISTERED_MAX);
    registered.truncate(REGISTERED_MAX);
    Ok(Health {
        findings: findings(&asked, &sources).await?,
        processes: living.iter().map(|it| process(it, live)).collect(),
        has_more_sources,
        sources: sources.iter().map(source).collect(),
        registered,
        more_registered,
        settings: own(&asked).await?,
        frame: asked
            .timeless_frame("Health and settings", "doctor")
            .await?,
    })
}

async fn registered_in(asked: &Asked) -> Result<Vec<Registered>, Refused> {
    let mut registered = Vec::new();
    for kind in EntityKind::ALL {
        let all = registrations(asked, kind).await?;
        registered.extend(all.iter().map(|it| Registered {
            kind: shown::kind_of(kind),
            what: it.registration.entity.path(),
            path: path_of(it.id),
            settings: settings(it),
        }));
    }
    registered.sort_by(|one, other| one.what.cmp(&other.what));
    Ok(registered)
}

async fn findings(asked: &Asked, sources: &[SourceCounts]) -> Result<Vec<Finding>, Refused> {
    let (live, sessions, now) = (asked.live().await, asked.sessions().await?, shown::now());
    let mut findings = Vec::new();
    findings.extend(asked.blind().map(|why| Finding {
        found: format!("it cannot be seen what runs: {why}"),
        remedy: "whoever serves this dashboard has to be allowed to read the spools",
    }));
    findings.extend(nobody(asked).await?);
    findings.extend(live.iter().filter_map(unreadable));
    findings.extend(live.iter().filter_map(left_behind));
    let ended =
        |it: &&StoredSession| it.status != SessionStatus::Success && !is_alive(it, live, now);
    findings.extend(
        sessions
            .iter()
            .filter(ended)
            .filter(|it| is_within(it, asked))
            .take(CRASHED_MAX)
            .map(not_well),
    );
    findings.extend(
        sessions
            .iter()
            .filter(|it| is_alive(it, live, now))
            .filter_map(clock),
    );
    findings.extend(missing(asked).await?);
    findings.extend(paused(asked).await?);
    findings.extend(orphans(asked).await);
    findings.extend(asked.history().left_out().into_iter().map(|found| Finding {
        found,
        remedy: "restore the database from a backup, or save what can be read with `executor copy`",
    }));
    let bad: u64 = sources.iter().map(|it| it.bad_lines).sum();
    findings.extend((bad > 0).then(|| Finding {
        found: format!("{} of sources were no events", counted(bad, "line")),
        remedy: "look at the first of each below",
    }));
    Ok(findings)
}

/// Whether a session ended within the range; one that nobody has closed may be of any time.
fn is_within(stored: &StoredSession, asked: &Asked) -> bool {
    let last = stored.stopped_at.unwrap_or(stored.heartbeat_at);
    let is_open = stored.status == SessionStatus::Running;
    is_open || last >= asked.range.from && last < asked.range.to
}

async fn nobody(asked: &Asked) -> Result<Option<Finding>, Refused> {
    let is_empty = asked.living().await?.is_empty();
    Ok(is_empty.then(|| Finding {
        found: "no process is running".into(),
        remedy: "nothing happens and nothing is recorded until one is started",
    }))
}

/// A session that ended as none should.
fn not_well(stored: &StoredSession) -> Finding {
    let at = shown::time(stored.stopped_at.unwrap_or(stored.heartbeat_at));
    let (how, remedy) = match stored.status {
        SessionStatus::Running => (
            "gave its last sign of life",
            "start it again where it ran: it stores what waits in its spool",
        ),
        SessionStatus::Failure => ("failed", "the ledger says why"),
        _ => (
            "crashed",
            "`Now` says what it was running; its journal may say why",
        ),
    };
    Finding {
        found: format!("{} {how} {at}", name(stored)),
        remedy,
    }
}

async fn missing(asked: &Asked) -> Result<Vec<Finding>, Refused> {
    let missing = asked.missing().await?;
    let lost = (missing.lost() > 0).then(|| Finding {
        found: format!("{} were lost", counted(missing.lost(), "record")),
        remedy: "the ledger says when, of what and why",
    });
    let missed = (missing.missed > 0).then(|| Finding {
        found: format!("{} were missed", counted(missing.missed, "planned run")),
        remedy: "the ledger says which and why",
    });
    Ok(lost.into_iter().chain(missed).collect())
}

/// What is paused: as the executor that can be asked says, and as the history knows of others.
async fn paused(asked: &Asked) -> Result<Vec<Finding>, Refused> {
    let mut paused = BTreeSet::new();
    let living: Vec<_> = asked
        .living()
        .await?
        .iter()
        .map(|it| it.session.id)
        .collect();
    let request = PageRequest::first(PAUSES_MAX);
    let pauses = asked.history().pauses(Window::since(shown::now()), request);
    for it in pauses.await?.items {
        if it.until.is_none() && living.contains(&it.session) {
            paused.insert(
                it.entity
                    .map_or_else(|| "the executor".into(), |it| it.path()),
            );
        }
    }
    if let Some(acting) = &asked.site.acting {
        for kind in EntityKind::ALL {
            let all = registrations(asked, kind).await?;
            let all = all.iter().map(|it| &it.registration.entity);
            let own = all.filter(|it| acting.actions.is_paused(it) == Some(true));
            paused.extend(own.map(|it| it.path()));
        }
    }
    let findings = paused.into_iter().map(|what| Finding {
        found: format!("{what} is paused"),
        remedy: "resume it on its page, or where it was paused",
    });
    Ok(findings.collect())
}

async fn orphans(asked: &Asked) -> Vec<Finding> {
    let Some(live) = &asked.site.live else {
        return Vec::new();
    };
    match live.orphans().await {
        Ok(orphans) => orphans.iter().map(orphan).collect(),
        Err(error) => vec![Finding {
            found: format!("programs that were left running cannot be seen: {error}"),
            remedy: "look with `executor doctor` as the user whose programs they are",
        }],
    }
}

fn orphan(orphan: &Orphan) -> Finding {
    Finding {
        found: format!(
            "`{}` of {} runs on, although the process that began it is dead",
            orphan.group.program,
            orphan.entity.path()
        ),
        remedy: "end it, or set `orphans = \"end\"` for its job",
    }
}

fn unreadable(live: &LiveSession) -> Option<Finding> {
    let why = live.unreadable.as_ref()?;
    Some(Finding {
        found: format!(
            "what process {} runs cannot be read: {why}",
            live.session.pid
        ),
        remedy: "look with `executor spool check`",
    })
}

fn left_behind(live: &LiveSession) -> Option<Finding> {
    let waits = !live.is_alive && live.waiting > 0;
    waits.then(|| Finding {
        found: format!(
            "{} of process {}, which is dead, wait in its spool",
            counted(live.waiting, "record"),
            live.session.pid
        ),
        remedy: "start the program again, or store them with `executor spool replay`",
    })
}

fn clock(stored: &StoredSession) -> Option<Finding> {
    let ahead = stored.by_server?.clock_ahead_us;
    let differs = ahead.abs() >= CLOCKS_AGREE_US;
    differs.then(|| Finding {
        found: format!(
            "the clock of {} is {} {} that of the database's server",
            stored.session.host,
            shown::took(std::time::Duration::from_micros(ahead.unsigned_abs())),
            if ahead > 0 { "ahead of" } else { "behind" }
        ),
        remedy: "set it, or let it be kept by NTP",
    })
}

fn process(stored: &StoredSession, live: &[LiveSession]) -> Process {
    let here = live.iter().find(|it| it.session.id == stored.session.id);
    let ledger = here.and_then(|it| it.ledger).unwrap_or(stored.ledger);
    Process {
        name: name(stored),
        pid: stored.session.pid,
        since: Moment(stored.session.started_at),
        heartbeat: Moment(stored.heartbeat_at),
        waiting: here.map_or(ledger.waiting + ledger.spooled, |it| it.waiting),
        durability: ledger.durability.map_or("memory", |it| it.as_str()),
        config_hash: stored.session.config_hash.clone().unwrap_or_default(),
    }
}

fn source(counts: &SourceCounts) -> Source {
    let topics = counts.topics.iter().take(TOPICS_MAX);
    let topics = topics.map(|it| match &*it.topic {
        "" => format!("others ×{}", shown::grouped(it.count)),
        topic => format!("{topic} ×{}", shown::grouped(it.count)),
    });
    let bad_line = counts.first_bad_lines.first();
    Source {
        name: counts.name.to_string(),
        lines: counts.lines,
        events: counts.events,
        bad_lines: counts.bad_lines,
        unheard: counts.unheard,
        topics: topics.collect(),
        bad_line: bad_line.map_or_else(String::new, |it| {
            format!("line {}: {}: {}", it.line, it.problem, it.text)
        }),
    }
}

/// How this dashboard and its history are set up.
async fn own(asked: &Asked) -> Result<Vec<(&'static str, String)>, Refused> {
    let site = &asked.site;
    let request = PageRequest {
        order: executor_core::ports::Order::OldestFirst,
        ..PageRequest::first(1)
    };
    let oldest = asked
        .history()
        .executions(Default::default(), request)
        .await?;
    let oldest = oldest.items.first();
    let database = match site.database.as_str() {
        "" => "that of the program".to_owned(),
        database => database.to_owned(),
    };
    Ok(vec![
        ("database", database),
        (
            "oldest execution",
            oldest.map_or_else(|| "none".into(), |it| shown::dated(it.record.ended_at())),
        ),
        ("version of executor", env!("CARGO_PKG_VERSION").to_owned()),
        ("time zone", shown::zone()),
        ("who may look", site.who.to_owned()),
        (
            "who may act",
            match &site.acting {
                Some(_) => format!("whoever may look, on session {}", session_of(site)),
                None => "nobody: this dashboard only shows".into(),
            },
        ),
        ("a page may take", shown::took(site.time_limit)),
    ])
}

fn session_of(site: &Site) -> String {
    let acting = site.acting.as_ref();
    acting.map_or_else(String::new, |it| it.actions.session().to_string())
}
