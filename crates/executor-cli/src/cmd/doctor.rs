//! `executor doctor`: whether everything is as it should be, and if not, what to do.

use std::process::ExitCode;
use std::time::Duration;

use command_executor::inspect;
use command_executor::ports::{SessionStatus, all_pages};
use command_executor::{Filter, LiveSession, Orphan, StoredSession, Window};
use serde_json::{Value, json};

use crate::args::verbs::{DoctorArgs, Look};
use crate::cmd::looking::{Looking, first_of};
use crate::config::Settings;
use crate::exit::{FOUND, Failure, with_causes};
use crate::output::columns::wrapped;
use crate::output::plain::{self, plain};
use crate::output::{console, shown};
use crate::wire;

/// The time of which losses and missed runs are told.
const LATELY: Duration = Duration::from_secs(7 * 86_400);
/// A write-ahead log of this size is written back as soon as no reader keeps it.
const LOG_MAX: u64 = 256 << 20;
/// The least room on a disk.
const ROOM_MIN: u64 = 256 << 20;
/// The difference of clocks that is no finding.
const CLOCKS_AGREE: Duration = Duration::from_secs(60);

/// The difference from the clock of the database's server that is no finding.
const SERVER_CLOCK_AGREES: Duration = Duration::from_secs(1);

/// What is not as it should be.
struct Finding {
    found: String,
    remedy: &'static str,
}

/// A check, and what it found.
struct Check {
    name: &'static str,
    findings: Vec<Finding>,
}

pub(crate) async fn doctor(args: DoctorArgs) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&args.look)?;
    // A wrong address is no finding.
    wire::check(&looking.url)?;
    let fixed = match args.fix {
        // The checks tell why it could not.
        true => fix(&looking)
            .await
            .unwrap_or_else(|failure| vec![format!("nothing: {}", with_causes(&failure))]),
        false => Vec::new(),
    };
    // What was mended is seen anew.
    let looking = Looking::new(&Look {
        db: Some(looking.url.clone()),
        ..args.look
    })?;
    let checks = examine(&looking).await;
    let text = match looking.json {
        true => plain::json_lines(checks.iter().map(json_of)),
        false => {
            let fixed = fixed.iter().map(|it| format!("fixed      {it}\n"));
            let text: String = fixed.chain(checks.iter().map(text_of)).collect();
            wrapped(&text)
        }
    };
    console::print(text).await?;
    let is_well = checks.iter().all(|check| check.findings.is_empty());
    Ok(match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FOUND),
    })
}

/// Does what can do no harm: brings the database up to date, and stores what dead processes left. A damaged one takes
/// none of that: what waits in spools is safe there.
async fn fix(looking: &Looking) -> Result<Vec<String>, Failure> {
    let mut fixed = Vec::new();
    if !wire::pending(&looking.url)?.is_empty() {
        let got = wire::bring_up_to_date(&looking.url)?;
        fixed.push(format!("schema: {}", got.join(", ")));
    }
    if !integrity(looking).await?.is_empty() {
        return Ok(fixed);
    }
    let has_dead = looking.live().await?.iter().any(|it| !it.is_alive);
    if let (true, Some(dir)) = (has_dead, wire::spools(&looking.url)?) {
        let settings = Settings::default();
        let store = wire::store(&looking.url, settings.file_mode).await?;
        let replayed = inspect::replay(store, &dir, settings.startup_timeout).await?;
        let records = shown::counted(replayed.ledger.recovered, "record");
        fixed.push(format!("spools: stored {records} from dead processes"));
    }
    Ok(fixed)
}

/// A check that cannot be made is a finding by itself.
async fn examine(looking: &Looking) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |name, found: Result<Vec<Finding>, Failure>| {
        let findings = found.unwrap_or_else(|failure| {
            let found = with_causes(&failure);
            vec![finding(
                found,
                "fix this first; checks that depend on it were skipped",
            )]
        });
        let is_well = findings.is_empty();
        checks.push(Check { name, findings });
        is_well
    };
    // What cannot be opened cannot be asked either.
    if add("schema", schema(looking)) {
        add("integrity", integrity(looking).await);
        add("processes", processes(looking).await);
        add("spools", spools(looking).await);
        add("records", records(looking).await);
        add("clock", clock(looking).await);
        add("size", size(looking));
    }
    checks
}

fn finding(found: impl Into<String>, remedy: &'static str) -> Finding {
    Finding {
        found: found.into(),
        remedy,
    }
}

fn schema(looking: &Looking) -> Result<Vec<Finding>, Failure> {
    let lacking = wire::pending(&looking.url)?;
    let lacking = (!lacking.is_empty()).then(|| {
        let found = format!("the database lacks {}", lacking.join(", "));
        finding(found, "`executor migrate`, or --fix")
    });
    Ok(lacking.into_iter().collect())
}

async fn integrity(looking: &Looking) -> Result<Vec<Finding>, Failure> {
    console::show("checking every page".into());
    let damage = looking.history.integrity().await;
    console::show(String::new());
    const OF_A_FILE: &str = "stop whatever writes to it, copy the file, and recover the copy with \
                             `sqlite3 COPY .recover`";
    const OF_A_SERVER: &str =
        "restore the database from a backup; records wait in the spools meanwhile";
    let remedy = match wire::is_on_a_server(&looking.url) {
        true => OF_A_SERVER,
        false => OF_A_FILE,
    };
    let damage = damage?.into_iter();
    Ok(damage.map(|it| finding(it, remedy)).collect())
}

/// Those that died and that nobody has found dead.
async fn processes(looking: &Looking) -> Result<Vec<Finding>, Failure> {
    let history = &looking.history;
    let sessions = all_pages(|page| history.sessions(page)).await?;
    let living = looking.living().await?;
    let is_silent = |it: &&StoredSession| {
        let mut living = living.iter();
        it.status == SessionStatus::Running
            && !living.any(|alive| alive.session.id == it.session.id)
    };
    let silent = sessions.iter().filter(is_silent).map(|it| {
        let (host, pid) = (plain(&it.session.host), it.session.pid);
        let at = looking.zone.time(it.heartbeat_at);
        let found = format!("process {pid} on {host} was last seen alive at {at}");
        finding(
            found,
            "start it again: that marks the session as crashed and stores what it left",
        )
    });
    Ok(silent.collect())
}

async fn spools(looking: &Looking) -> Result<Vec<Finding>, Failure> {
    let live = looking.live().await?;
    let orphans = looking.orphans().await?;
    let orphans = orphans.iter().map(orphan);
    Ok(live.iter().filter_map(spool).chain(orphans).collect())
}

fn spool(live: &LiveSession) -> Option<Finding> {
    let pid = live.session.pid;
    if let Some(why) = &live.unreadable {
        let found = format!("the spool of process {pid} cannot be read: {}", plain(why));
        return Some(finding(
            found,
            "check who owns it, and run `executor spool fsck`",
        ));
    }
    let left = live.waiting + live.running.len() as u64;
    let records = shown::counted(left, "record");
    (!live.is_alive).then(|| {
        let found = format!("process {pid} is dead, and its spool keeps {records}");
        finding(
            found,
            "start it again, run `executor spool replay`, or use --fix",
        )
    })
}

/// A program that a dead process left running.
fn orphan(orphan: &Orphan) -> Finding {
    finding(
        shown::orphan(orphan),
        "let it end, or end it with `kill -- -GROUP`; its listener or job waits for it",
    )
}

/// What was lost or missed lately.
async fn records(looking: &Looking) -> Result<Vec<Finding>, Failure> {
    let since = Window::since(shown::now().saturating_sub(LATELY));
    let found = looking.completeness(&since).await?;
    let lost = (found.lost() > 0).then(|| {
        let records = shown::counted(found.lost(), "record");
        finding(
            format!("{records} lost within 7 days"),
            "`executor audit` says which and why",
        )
    });
    let missed = (found.missed > 0).then(|| {
        let runs = shown::counted(found.missed, "planned run");
        finding(
            format!("{runs} missed within 7 days"),
            "`executor timers`, and `executor explain APP/NAME@TIME`",
        )
    });
    Ok(lost.into_iter().chain(missed).collect())
}

/// Rows that are dated in the future were written while a clock was wrong.
async fn clock(looking: &Looking) -> Result<Vec<Finding>, Failure> {
    let history = &looking.history;
    let latest = first_of(|page| history.executions(Filter::default(), page)).await?;
    let limit = shown::now().saturating_add(CLOCKS_AGREE);
    let ends = latest.iter().map(|it| it.record.ended_at());
    let living = looking.living().await?;
    let off = living.iter().filter_map(clock_off);
    let future = ends.filter(|end| *end > limit).map(|end| {
        let found = format!("the latest execution ended at {}", looking.zone.time(end));
        finding(
            found,
            "check the clock of this machine and of the one that wrote it",
        )
    });
    Ok(off.chain(future).collect())
}

/// A process whose clock differs from that of the database's server.
fn clock_off(stored: &StoredSession) -> Option<Finding> {
    let (ahead, session) = (stored.by_server?.clock_ahead_us, &stored.session);
    let off = Duration::from_micros(ahead.unsigned_abs());
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    (off > SERVER_CLOCK_AGREES).then(|| {
        let (host, off) = (plain(&session.host), shown::took(off));
        finding(
            format!("the clock of {host} is {off} {side} that of the database's server"),
            "let both synchronise their clocks",
        )
    })
}

fn size(looking: &Looking) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let (log, room) = (wire::log_bytes(&looking.url)?, wire::room(&looking.url)?);
    if log > LOG_MAX {
        let found = format!("the write-ahead log takes {}", shown::bytes(log));
        findings.push(finding(
            found,
            "stop the reader that is holding the database open",
        ));
    }
    if let Some(room) = room.filter(|room| *room < ROOM_MIN) {
        let found = format!("its disk has {} left", shown::bytes(room));
        findings.push(finding(found, "make room, or `executor prune`"));
    }
    Ok(findings)
}

fn text_of(check: &Check) -> String {
    if check.findings.is_empty() {
        return format!("ok         {}\n", check.name);
    }
    let lines = check.findings.iter().map(|it| {
        let (name, found) = (check.name, plain(&it.found));
        format!("found      {name}: {found}\n           → {}\n", it.remedy)
    });
    lines.collect()
}

fn json_of(check: &Check) -> Value {
    let findings = check.findings.iter();
    let findings = findings.map(|it| json!({ "found": it.found, "remedy": it.remedy }));
    json!({ "check": check.name, "findings": findings.collect::<Vec<_>>() })
}
