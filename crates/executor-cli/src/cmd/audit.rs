//! `executor audit`: whether the history is complete.

use std::path::PathBuf;
use std::process::ExitCode;

use command_executor::diagnosis::{Audit, Hole, NotKnown, NotLookedAt, Verdict, audit as decide};
use command_executor::inspect::MachineSpools;
use command_executor::{LiveSession, LiveState, Progress, Timestamp};
use serde_json::{Value, json};

use crate::args::times;
use crate::args::verbs::AuditArgs;
use crate::cmd::looking::Looking;
use crate::exit::{CANNOT_TELL, Failure, LOST};
use crate::output::columns::wrapped;
use crate::output::console;
use crate::output::plain::{self, plain};
use crate::output::shown::Zone;

/// What to do about a spool that nobody has taken over.
const REMEDY: &str = "the next start there, or `executor spool replay`, will store it";

/// Holes that are listed; the number of all is said.
const LISTED: usize = 50;

pub(crate) async fn audit(looking: &Looking, args: AuditArgs) -> Result<ExitCode, Failure> {
    let window = times::window(args.since, args.until);
    // Before the evidence, or records that are stored in between would count as missing.
    let live = live(looking, args.spools).await?;
    let progress = Progress::new(|done, all| {
        console::show(format!("counting rows: {done} of {all}"));
    });
    let evidence = looking.history.evidence(window.clone(), progress).await;
    console::show(String::new());
    let audit = decide(&evidence?, &live, &window);
    let text = match looking.json {
        true => plain::json_lines([json_of(&audit)]),
        false => wrapped(&for_people(looking, &audit)),
    };
    console::print(text).await?;
    Ok(match audit.verdict {
        Verdict::Complete => ExitCode::SUCCESS,
        Verdict::Incomplete => ExitCode::from(LOST),
        Verdict::CannotTell => ExitCode::from(CANNOT_TELL),
    })
}

/// Returns what waits in the spools of a directory, or in those of this machine.
async fn live(looking: &Looking, spools: Option<PathBuf>) -> Result<Vec<LiveSession>, Failure> {
    match spools {
        // A mistyped one would hide what waits in the right one.
        Some(dir) if !dir.exists() => {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            Err(Failure::SpoolDirectory { dir, source })
        }
        Some(spools) => Ok(MachineSpools::new(spools).sessions().await?),
        None => Ok(looking.live().await?.to_vec()),
    }
}

fn for_people(looking: &Looking, audit: &Audit) -> String {
    let zone = &looking.zone;
    let mut text = format!("{}  {} stored", audit.verdict.as_str(), audit.stored);
    for (count, what) in [
        (audit.pruned, "pruned since"),
        (audit.dropped, "given up"),
        (audit.waiting, "waiting"),
    ] {
        if count > 0 {
            text.push_str(&format!(" · {count} {what}"));
        }
    }
    text.push('\n');
    let holes = audit.holes.iter().map(|hole| line_of_hole(zone, hole));
    add_list(&mut text, holes);
    let not_known = audit.not_known.iter();
    add_list(&mut text, not_known.map(|it| line_of_unknown(zone, it)));
    text
}

/// Adds the first lines, and the number of the others.
fn add_list(text: &mut String, lines: impl ExactSizeIterator<Item = String>) {
    let count = lines.len();
    text.extend(lines.take(LISTED));
    if count > LISTED {
        text.push_str(&format!("  … and {} more\n", count - LISTED));
    }
}

fn line_of_hole(zone: &Zone, hole: &Hole) -> String {
    let stretch = stretch(zone, hole.from, hole.to);
    let session = hole.session.map(|id| format!("  session {id}"));
    let (count, cause) = (hole.count, hole.cause.as_str());
    format!(
        "  {stretch}  {count}  {cause}{}\n",
        session.unwrap_or_default()
    )
}

fn line_of_unknown(zone: &Zone, unknown: &NotKnown) -> String {
    let stretch = stretch(zone, unknown.from, unknown.to);
    let what = plain(&not_looked_at(&unknown.what));
    let session = unknown.session;
    format!("  not checked  {stretch}  {what}  session {session}\n")
}

/// A stretch that may have no known beginning or end.
fn stretch(zone: &Zone, from: Timestamp, to: Timestamp) -> String {
    let (min, max) = (
        Timestamp::from_micros(i64::MIN),
        Timestamp::from_micros(i64::MAX),
    );
    match (from == min, to == max) {
        (false, false) => format!("{} – {}", zone.time(from), zone.time(to)),
        (false, true) => format!("since {}", zone.time(from)),
        (true, false) => format!("until {}", zone.time(to)),
        (true, true) => "at any time".into(),
    }
}

fn not_looked_at(what: &NotLookedAt) -> String {
    match what {
        NotLookedAt::Older => "it predates the counting of rows".into(),
        NotLookedAt::Rebuilt => "its counters were damaged".into(),
        NotLookedAt::Memory => "it died with its records in memory".into(),
        NotLookedAt::Spool { host, waiting } => match waiting {
            Some(waiting) => format!("a spool on {host}, {waiting} waiting: {REMEDY}"),
            None => format!("a spool on {host}: {REMEDY}"),
        },
        _ => "something that this version does not know".into(),
    }
}

fn json_of(audit: &Audit) -> Value {
    let holes = audit.holes.iter().map(json_of_hole);
    let not_known = audit.not_known.iter().map(json_of_unknown);
    json!({
        "verdict": audit.verdict.as_str(),
        "stored": audit.stored,
        "pruned": audit.pruned,
        "dropped": audit.dropped,
        "waiting": audit.waiting,
        "holes": holes.collect::<Vec<_>>(),
        "not_known": not_known.collect::<Vec<_>>(),
    })
}

fn json_of_hole(hole: &Hole) -> Value {
    json!({
        "session": hole.session.map(|id| id.to_string()),
        "from_us": hole.from.as_micros(),
        "to_us": hole.to.as_micros(),
        "count": hole.count,
        "cause": hole.cause.as_str(),
    })
}

fn json_of_unknown(unknown: &NotKnown) -> Value {
    json!({
        "session": unknown.session.to_string(),
        "from_us": unknown.from.as_micros(),
        "to_us": unknown.to.as_micros(),
        "what": not_looked_at(&unknown.what),
    })
}
