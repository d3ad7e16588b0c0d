//! `executor status`: what runs, what comes next, the last crash, and what is missing.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use command_executor::diagnosis::{Completeness, Timer, timers};
use command_executor::ports::{Scope, SessionStatus, all_pages};
use command_executor::{
    Filter, LiveSession, Orphan, PageRequest, RunningExecution, SessionId, Stats, Status,
    StoredExecution, StoredSession, Timestamp, Window,
};
use serde_json::{Value, json};

use crate::cmd::looking::{Looking, missing_of};
use crate::exit::{Failure, matched};
use crate::output::columns::wrapped;
use crate::output::plain::{self, plain};
use crate::output::shown::{name_of, took};
use crate::output::{console, shown};

/// What the counts cover.
const LATELY: Duration = Duration::from_secs(3_600);
/// The number of interrupted executions, of running ones a process, and of next runs that are named.
const NAMED: usize = 5;

struct State {
    now: Timestamp,
    /// The processes that are alive, the latest first.
    living: Vec<StoredSession>,
    live: Vec<LiveSession>,
    orphans: Vec<Orphan>,
    /// The process that began last, if none is alive, and its last sign of life.
    last: Option<(StoredSession, Timestamp)>,
    lately: Stats,
    next: Vec<Timer>,
    crash: Option<Crash>,
    missing: Completeness,
}

/// The last process that did not end well, and what it was doing.
struct Crash {
    session: StoredSession,
    at: Timestamp,
    interrupted: Vec<StoredExecution>,
}

pub(crate) async fn status(looking: &Looking) -> Result<ExitCode, Failure> {
    let state = read(looking).await?;
    let has_any = !state.living.is_empty() || state.last.is_some();
    let text = match looking.json {
        true => plain::json_lines([json_of(&state)]),
        false => wrapped(&for_people(looking, &state)),
    };
    console::print(text).await?;
    Ok(matched(has_any))
}

async fn read(looking: &Looking) -> Result<State, Failure> {
    let history = &looking.history;
    let (live, living) = (looking.live().await?.to_vec(), looking.living().await?);
    let now = shown::now();
    let ids: HashSet<SessionId> = living.iter().map(|it| it.session.id).collect();
    let sessions = all_pages(|page| history.sessions(page)).await?;
    let lately = Window::since(now.saturating_sub(LATELY));
    let mut next = timers(history.as_ref(), None, &living, now).await?;
    next.retain(|timer| timer.next.is_some());
    next.truncate(NAMED);
    let crash = last_crash(looking, &sessions, &ids).await?;
    let last = match sessions.into_iter().next().filter(|_| living.is_empty()) {
        Some(last) => Some((last.clone(), looking.last_sign(&last).await?)),
        None => None,
    };
    Ok(State {
        now: shown::now(),
        last,
        lately: history.overall(lately).await?,
        missing: looking.completeness(&Window::default()).await?,
        orphans: looking.orphans().await?,
        living,
        live,
        next,
        crash,
    })
}

async fn last_crash(
    looking: &Looking,
    sessions: &[StoredSession],
    living: &HashSet<SessionId>,
) -> Result<Option<Crash>, Failure> {
    // What a process of this machine has left says more than the history.
    let left = looking.live().await?.iter().filter(|live| !live.is_alive);
    let left: HashSet<SessionId> = left.map(|live| live.session.id).collect();
    let mut untold = sessions.iter().filter(|it| !left.contains(&it.session.id));
    match untold.find(|it| went_wrong(it, living)) {
        Some(session) => Ok(Some(crash(looking, session.clone()).await?)),
        None => Ok(None),
    }
}

fn went_wrong(stored: &StoredSession, living: &HashSet<SessionId>) -> bool {
    match stored.status {
        SessionStatus::Running => !living.contains(&stored.session.id),
        SessionStatus::Crashed | SessionStatus::Failure => true,
        SessionStatus::Success => false,
    }
}

async fn crash(looking: &Looking, session: StoredSession) -> Result<Crash, Failure> {
    let filter = Filter {
        scope: Scope::Session(session.session.id),
        statuses: vec![Status::Interrupted],
        ..Filter::default()
    };
    let request = PageRequest::first(NAMED as u32);
    let page = looking.history.executions(filter, request).await?;
    Ok(Crash {
        at: looking.last_sign(&session).await?,
        session,
        interrupted: page.items,
    })
}

fn for_people(looking: &Looking, state: &State) -> String {
    let mut lines = Lines::default();
    if state.living.is_empty() {
        lines.add("running", &nobody(looking, state.last.as_ref()));
    }
    for stored in &state.living {
        lines.add_process(state, stored);
    }
    let dead = state.live.iter().filter(|it| !it.is_alive);
    for live in dead {
        lines.add("died", &left_behind(live));
    }
    for orphan in &state.orphans {
        lines.add("orphan", &shown::orphan(orphan));
    }
    lines.add("last hour", &counts(&state.lately));
    lines.add_next(looking, state);
    if let Some(crash) = &state.crash {
        lines.add("last crash", &crashed(looking, crash));
    }
    // What was pruned is not missing: somebody asked for it.
    let mut missing = state.missing.clone();
    missing.pruned = 0;
    let missing = missing_of(&missing);
    lines.add("missing", missing.as_deref().unwrap_or("nothing"));
    lines.text
}

/// A label and a value a line.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, label: &str, value: &str) {
        let line = format!("{label:<11}{value}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn add_process(&mut self, state: &State, stored: &StoredSession) {
        let live = live_of(state, stored.session.id);
        self.add("running", &process(state, stored, live));
        let running = live.map_or(&[][..], |live| &live.running);
        for execution in running.iter().take(NAMED) {
            self.add("", &running_one(state, execution));
        }
        if running.len() > NAMED {
            self.add("", &format!("… and {} more", running.len() - NAMED));
        }
    }

    fn add_next(&mut self, looking: &Looking, state: &State) {
        for (place, timer) in state.next.iter().enumerate() {
            let label = if place == 0 { "next" } else { "" };
            self.add(label, &next(looking, state.now, timer));
        }
        if !state.next.is_empty() && state.living.is_empty() {
            let why = "no process is running: nothing will start until one does";
            self.add("", why);
        }
    }
}

fn nobody(looking: &Looking, last: Option<&(StoredSession, Timestamp)>) -> String {
    let Some((last, at)) = last else {
        return "nothing, and nothing has ever run".to_owned();
    };
    let at = looking.zone.time(*at);
    let how = match last.status {
        SessionStatus::Running => "was last seen alive",
        SessionStatus::Success => "ended",
        SessionStatus::Failure => "failed",
        SessionStatus::Crashed => "died after",
    };
    format!("nothing; the last process {how} {at}")
}

fn live_of(state: &State, id: SessionId) -> Option<&LiveSession> {
    state.live.iter().find(|it| it.session.id == id)
}

fn process(state: &State, stored: &StoredSession, live: Option<&LiveSession>) -> String {
    let session = &stored.session;
    let program = session.program.as_deref().unwrap_or("a process");
    let up = took(state.now.saturating_duration_since(session.started_at));
    let (program, host) = (plain(program), plain(&session.host));
    let mut text = format!("{program} on {host} (pid {}), up {up}", session.pid);
    match live.filter(|live| live.unreadable.is_none()) {
        Some(live) => {
            let count = live.running.len() + live.unlisted;
            text.push_str(&format!(" · {count} in progress"));
            if live.waiting > 0 {
                let records = shown::counted(live.waiting, "record");
                text.push_str(&format!(" · {records} not stored yet"));
            }
        }
        None => text.push_str(" · its running executions cannot be seen from here"),
    }
    text
}

fn running_one(state: &State, execution: &RunningExecution) -> String {
    let since = state.now.saturating_duration_since(execution.started_at);
    let (name, id) = (name_of(&execution.entity), execution.execution_id.short());
    let last = execution
        .lines
        .as_ref()
        .and_then(|lines| lines.iter().last());
    let last = last.map(|line| plain(line.text)).unwrap_or_default();
    format!("  {name}  {id}  {}  {last}", took(since))
}

/// A process of this machine that died, and whose spool nobody has taken over yet.
fn left_behind(live: &LiveSession) -> String {
    let session = &live.session;
    let mut parts = vec![format!("pid {}", session.pid)];
    let names: Vec<String> = live.running.iter().map(|it| name_of(&it.entity)).collect();
    if !names.is_empty() {
        parts.push(format!("was running: {}", names.join(", ")));
    }
    if live.waiting > 0 {
        let records = shown::counted(live.waiting, "record");
        parts.push(format!("left {records} in its spool"));
    }
    if live.unreadable.is_some() {
        parts.push("its spool cannot be read: see `executor spool fsck`".into());
    }
    if parts.len() > 1 {
        parts.push("the next start, or `executor doctor --fix`, will store that".into());
    }
    parts.join("; ")
}

fn counts(stats: &Stats) -> String {
    let parts = Status::ALL.map(|status| {
        let (count, word) = (stats.count(status), status.as_str());
        (count > 0).then(|| format!("{count} {word}"))
    });
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "no executions".to_owned(),
        false => parts.join(" · "),
    }
}

fn next(looking: &Looking, now: Timestamp, timer: &Timer) -> String {
    let at = timer.next.unwrap_or(now);
    let (name, left) = (name_of(&timer.entity), at.saturating_duration_since(now));
    format!("{name} in {}, at {}", took(left), looking.zone.time(at))
}

fn crashed(looking: &Looking, crash: &Crash) -> String {
    let stored = &crash.session;
    let at = looking.zone.time(crash.at);
    let why = match (&stored.failure, stored.status) {
        (Some(failure), _) => plain(&failure.message),
        (None, SessionStatus::Running) => "silent since".to_owned(),
        (None, _) => "killed".to_owned(),
    };
    let interrupted = crash.interrupted.iter();
    let names: Vec<String> = interrupted
        .map(|it| {
            let record = &it.record;
            let name = name_of(&record.subject.entity);
            format!("{name} {}", record.execution_id.short())
        })
        .collect();
    match names.is_empty() {
        true => format!("{at}, {why}; nothing was interrupted"),
        false => format!("{at}, {why}; interrupted: {}", names.join(", ")),
    }
}

fn json_of(state: &State) -> Value {
    let running = state.living.iter().map(|stored| {
        let live = live_of(state, stored.session.id);
        json_of_process(stored, live)
    });
    let died = state.live.iter().filter(|it| !it.is_alive);
    let next = state.next.iter().map(|timer| {
        let at = timer.next.map(Timestamp::as_micros);
        json!({ "what": timer.entity.to_string(), "next_us": at })
    });
    let by_status = Status::ALL.map(|status| {
        let count = state.lately.count(status);
        (status.as_str().to_owned(), Value::from(count))
    });
    json!({
        "running": running.collect::<Vec<_>>(),
        "died": died.map(json_of_dead).collect::<Vec<_>>(),
        "orphans": state.orphans.iter().map(json_of_orphan).collect::<Vec<_>>(),
        "last_hour": serde_json::Map::from_iter(by_status),
        "next": next.collect::<Vec<_>>(),
        "last_crash": state.crash.as_ref().map(json_of_crash),
        "missing": {
            "lost": state.missing.lost(),
            "pruned": state.missing.pruned,
            "missed_runs": state.missing.missed,
            "unsettled": state.missing.unsettled,
        },
    })
}

fn json_of_process(stored: &StoredSession, live: Option<&LiveSession>) -> Value {
    let session = &stored.session;
    json!({
        "session": session.id.to_string(),
        "host": session.host,
        "pid": session.pid,
        "program": session.program,
        "version": session.version,
        "started_us": session.started_at.as_micros(),
        "in_progress": live.map(json_of_executions),
        "unlisted": live.map(|live| live.unlisted),
        "waiting": live.map(|live| live.waiting),
    })
}

fn json_of_dead(live: &LiveSession) -> Value {
    json!({
        "session": live.session.id.to_string(),
        "pid": live.session.pid,
        "waiting": live.waiting,
        "was_running": json_of_executions(live),
    })
}

fn json_of_executions(live: &LiveSession) -> Value {
    let each = live.running.iter().map(|execution| {
        json!({
            "id": execution.execution_id.to_string(),
            "short_id": execution.execution_id.short(),
            "what": name_of(&execution.entity),
            "started_us": execution.started_at.as_micros(),
        })
    });
    each.collect()
}

fn json_of_orphan(orphan: &Orphan) -> Value {
    json!({
        "id": orphan.execution_id.to_string(),
        "what": name_of(&orphan.entity),
        "program": &*orphan.group.program,
        "group": orphan.group.id,
    })
}

fn json_of_crash(crash: &Crash) -> Value {
    let (stored, interrupted) = (&crash.session, crash.interrupted.iter());
    json!({
        "session": stored.session.id.to_string(),
        "at_us": crash.at.as_micros(),
        "status": stored.status.as_str(),
        "interrupted": interrupted.map(shown::json_of).collect::<Vec<_>>(),
    })
}
