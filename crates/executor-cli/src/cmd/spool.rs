//! `executor spool`: inspects the spools of living and dead processes, and stores the records of dead ones in a
//! database.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use command_executor::inspect::{self, Content, Entry, SegmentReport};
use command_executor::{ExecutionRecord, SpoolError};
use serde_json::{Value, json};

use crate::args::{SpoolArgs, SpoolCommand};
use crate::config::Settings;
use crate::exit::{Failure, LOST, UNREADABLE, with_causes};
use crate::output::console::{self, say};
use crate::output::plain;
use crate::wire;

pub(crate) async fn spool(args: SpoolArgs) -> Result<ExitCode, Failure> {
    let dir = match &args.command {
        SpoolCommand::Fsck { dir } | SpoolCommand::Dump { dir } => dir,
        SpoolCommand::Replay { dir, .. } => dir,
    };
    if fs::symlink_metadata(dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // A graceful stop removes the spool, so this is not an error.
        say(&format!(
            "executor: there is no spool at `{}`",
            dir.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    match args.command {
        SpoolCommand::Fsck { dir } => fsck(&dir),
        SpoolCommand::Dump { dir } => dump(&dir),
        SpoolCommand::Replay { dir, db } => replay(&dir, db).await,
    }
}

fn unreadable(dir: &Path) -> impl FnOnce(io::Error) -> Failure {
    let dir = dir.to_owned();
    move |source| Failure::SpoolDirectory { dir, source }
}

fn spools(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    inspect::spools(dir).map_err(unreadable(dir))
}

/// The result of an inspection; a worse one compares greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Whole,
    /// Something is damaged or gone.
    Missing,
    /// Something could not be read, and the rest was.
    Unreadable,
}

impl Finding {
    const fn missing(is_missing: bool) -> Self {
        if is_missing {
            Self::Missing
        } else {
            Self::Whole
        }
    }

    fn code(self) -> ExitCode {
        match self {
            Self::Whole => ExitCode::SUCCESS,
            Self::Missing => ExitCode::from(LOST),
            Self::Unreadable => ExitCode::from(UNREADABLE),
        }
    }
}

/// One line of JSON for each spool and each of its segments; the exit code says whether something is damaged or gone.
fn fsck(dir: &Path) -> Result<ExitCode, Failure> {
    let deleted = inspect::deleted(dir);
    let mut worst = Finding::Whole;
    for spool in spools(dir)?.iter().chain(&deleted) {
        let found = match look_at(spool, deleted.contains(spool)) {
            Ok(found) => found,
            Err(Unread::Spool(error)) => unreadable_spool(spool, &error)?,
            Err(Unread::Output(failure)) => return Err(failure),
        };
        worst = worst.max(found);
    }
    Ok(worst.code())
}

/// The reason why the inspection of a spool ended early.
enum Unread {
    Spool(SpoolError),
    Output(Failure),
}

impl From<SpoolError> for Unread {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self::Output(failure)
    }
}

/// Reports a spool that cannot be read; the others are still read.
fn unreadable_spool(spool: &Path, error: &SpoolError) -> Result<Finding, Failure> {
    print(&json!({
        "spool": spool.display().to_string(),
        "error": with_causes(error),
    }))?;
    Ok(Finding::Unreadable)
}

fn look_at(spool: &Path, is_deleted: bool) -> Result<Finding, Unread> {
    let owner = inspect::owner(spool)?;
    let session = owner.map(|(session, _)| session.id.to_string());
    let missing = inspect::missing(spool)?;
    print(&json!({
        "spool": spool.display().to_string(),
        "session": session,
        "deleted": is_deleted,
        "missing": missing,
    }))?;
    // Damaged counters cannot tell whether records are missing, so the spool then counts as incomplete.
    let mut is_missing = missing != Some(0);
    let segments = match is_deleted {
        true => Vec::new(),
        false => inspect::fsck(spool)?,
    };
    for segment in segments {
        is_missing |= segment.damaged_bytes > 0;
        print(&of_segment(&segment, session.as_deref()))?;
    }
    Ok(Finding::missing(is_missing))
}

fn of_segment(segment: &SegmentReport, session: Option<&str>) -> Value {
    json!({
        "file": segment.path.display().to_string(),
        "session": session,
        "segment": segment.number,
        "version": segment.version,
        "bytes": segment.bytes,
        "frames": segment.frames,
        "unsettled": segment.unsettled,
        "damaged_frames": segment.damaged_frames,
        "damaged_bytes": segment.damaged_bytes,
    })
}

/// One line of JSON for each frame and each damaged place.
fn dump(dir: &Path) -> Result<ExitCode, Failure> {
    let mut worst = Finding::Whole;
    for spool in spools(dir)? {
        let mut printed = Ok(());
        let dumped = inspect::dump(&spool, |segment, entry| {
            if let (Ok(()), Some(entry)) = (&printed, entry) {
                printed = print(&describe(&segment.path, entry));
            }
        });
        printed?;
        if let Err(error) = dumped {
            worst = worst.max(unreadable_spool(&spool, &error)?);
        }
    }
    Ok(worst.code())
}

fn describe(file: &Path, entry: Entry<'_>) -> Value {
    let file = file.display().to_string();
    match entry {
        Entry::Damage { offset, bytes } => {
            json!({ "file": file, "offset": offset, "damaged_bytes": bytes })
        }
        Entry::Frame {
            offset,
            sequence,
            kind,
            settled,
            payload,
            ..
        } => {
            let (what, content) = of_content(&inspect::content(kind, payload));
            json!({
                "file": file, "offset": offset, "sequence": sequence,
                "settled": settled, "frame": what, "content": content,
            })
        }
    }
}

/// Returns the name of a frame's kind, and what is in it.
fn of_content(content: &Content) -> (&'static str, Value) {
    match content {
        Content::Record(record) => ("record", of_record(record)),
        Content::Start(record) => ("start", of_record(record)),
        Content::End(end) => {
            let (status, at) = (end.status.as_str(), end.at.as_micros());
            ("end", json!({ "status": status, "at_us": at }))
        }
        Content::Lines {
            execution_id,
            lines,
            ..
        } => {
            let id = execution_id.to_string();
            let lines = json!({ "execution_id": id, "lines": lines.body() });
            ("lines", lines)
        }
        Content::Program {
            execution_id,
            group,
        } => {
            let program = json!({
                "execution": execution_id.to_string(),
                "program": &*group.program,
                "group": group.id,
            });
            ("program", program)
        }
        Content::Session => ("session", Value::Null),
        Content::Unknown { why } => ("unknown", json!({ "why": why })),
        _ => ("unknown", Value::Null),
    }
}

fn of_record(record: &ExecutionRecord) -> Value {
    let failure = record.failure.as_ref();
    json!({
        "execution_id": record.execution_id.to_string(),
        "of": record.subject.entity.to_string(),
        "status": record.status.as_str(),
        "started_us": record.started_at.as_micros(),
        "duration_us": u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX),
        "error": failure.map(|failure| format!("{}: {}", failure.error_type, failure.message)),
    })
}

async fn replay(dir: &Path, db: Option<String>) -> Result<ExitCode, Failure> {
    // Reads the directory first, so a wrong one fails before a database is opened.
    let _ = spools(dir)?;
    let db = database_for(dir, db)?;
    let settings = Settings::default();
    let store = wire::store(&db, settings.file_mode).await?;
    let replayed = inspect::replay(store, dir, settings.startup_timeout).await?;
    let ledger = replayed.ledger;
    print(&json!({
        "spools": replayed.spools,
        "alive": replayed.alive,
        "rebuilt": replayed.rebuilt,
        "damaged_files": replayed.damaged_files,
        "recovered": ledger.recovered,
        "stored": ledger.stored,
        "dropped": ledger.total_dropped(),
        "database": wire::shown(&db),
    }))?;
    let lost = replayed.rebuilt + replayed.damaged_files > 0 || ledger.total_dropped() > 0;
    let mut worst = Finding::missing(lost);
    for (spool, error) in &replayed.unfinished {
        worst = unreadable_spool(spool, error)?;
    }
    Ok(worst.code())
}

/// Returns the database that was named, or else the one beside the spool; it has to be there.
fn database_for(dir: &Path, named: Option<String>) -> Result<String, Failure> {
    let db = named.or_else(|| database_of(dir));
    let db = db.ok_or_else(|| Failure::WhichDatabase {
        dir: dir.to_owned(),
    })?;
    match wire::may_be_there(&db)? {
        true => Ok(db),
        false => Err(Failure::NoDatabase {
            url: wire::shown(&db),
        }),
    }
}

/// Returns the database that a spool lies beside: `X` for `X.spool` and for a spool in it.
fn database_of(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let beside = |dir: &Path| dir.to_str()?.strip_suffix(".spool").map(ToOwned::to_owned);
    beside(&dir).or_else(|| beside(dir.parent()?))
}

fn print(line: &Value) -> Result<(), Failure> {
    console::put(&plain::json_lines([line]))
}
