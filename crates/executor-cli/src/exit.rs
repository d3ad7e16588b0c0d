//! The ways in which the program can fail, each with its one-line message and exit code.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use command_executor::inspect::ReplayError;
use command_executor::{HistoryError, HistoryErrorClass, RegisterError, StartError, StoreError};
use thiserror::Error;

use crate::output::plain::plain;
use crate::wire::{CannotOpen, NoSize, NotCopied};

/// The configuration is wrong, or a program in it cannot be executed.
pub(crate) const WRONG_CONFIG: u8 = 3;
/// The database cannot be used, or not all of it.
pub(crate) const DAMAGED: u8 = 4;
/// Done, but records were lost or executions did not end.
pub(crate) const LOST: u8 = 6;
/// A spool could not be read.
pub(crate) const UNREADABLE: u8 = 7;
/// What was asked for cannot be told from what there is.
pub(crate) const CANNOT_TELL: u8 = 8;
/// Nothing in the history matches, or more than one thing does.
pub(crate) const NO_MATCH: u8 = 9;
/// Something is not as it should be.
pub(crate) const FOUND: u8 = 10;
/// The run of `--now` did not succeed.
pub(crate) const NOT_SUCCESSFUL: u8 = 11;
/// Cut off by a signal.
pub(crate) const CUT_OFF: u8 = 130;

#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("{0}")]
    Config(crate::config::ConfigError),
    #[error("cannot read the events `{}`", plain(&path.to_string_lossy()))]
    Events {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the source `{}` ({})", plain(name), plain(shown))]
    Source {
        name: String,
        shown: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot answer Prometheus at {address}: give another address with --metrics")]
    Metrics {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("none of the {bad_lines} lines could be read as an event")]
    NoEvents { bad_lines: u64 },
    #[error(
        "the database `{url}` is damaged ({error}); its spool keeps the remaining records: {repair}, and start again"
    )]
    DamagedStore {
        url: String,
        error: String,
        repair: String,
    },
    #[error(
        "it is not clear which database the spools in `{}` belong to: name it with --db", plain(&dir.to_string_lossy())
    )]
    WhichDatabase { dir: PathBuf },
    #[error("there is no database at `{url}` to put the records into")]
    NoDatabase { url: String },
    #[error(transparent)]
    Open(#[from] CannotOpen),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Query(#[from] HistoryError),
    #[error("cannot read the spools in `{}`", dir.display())]
    SpoolDirectory {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("the history has no {}", what.strip_prefix("an ").or(what.strip_prefix("a ")).unwrap_or(what))]
    NotFound { what: String },
    #[error(
        "`{text}` may mean {}{} executions; write more of the id: {}", candidates.len(),
        if *has_more { " or more" } else { "" }, candidates.join("; ")
    )]
    Ambiguous {
        text: String,
        candidates: Vec<String>,
        has_more: bool,
    },
    #[error(
        "`{text}` may mean {count} sessions; write more of the id: `executor sessions` lists them"
    )]
    SeveralSessions { text: String, count: usize },
    #[error("--since is after --until: nothing can lie between")]
    EmptyWindow,
    #[error(
        "`{what}` names one execution: use options that select executions without it, or with APP/NAME"
    )]
    NothingToSelect { what: String },
    #[error("the configuration has no job `{what}`; it has {}", listed(jobs))]
    NoSuchJob { what: String, jobs: Vec<String> },
    #[error(
        "there is no terminal to ask on: add --yes to delete, or --dry-run to see what would be deleted"
    )]
    NobodyToAsk,
    #[error("CSV cannot hold what an execution said: use --format json, or omit --lines")]
    LinesInCsv,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Copy(#[from] NotCopied),
    #[error(
        "{what} is not this machine alone: add --behind-proxy and --allow-host, or listen at 127.0.0.1"
    )]
    Exposed { what: String },
    #[error("everybody who reaches {what} could look: leave --no-token out")]
    WithoutToken { what: String },
    #[error("a browser that asks at {what} has to name a host: add --allow-host")]
    NoHost { what: String },
    #[error("cannot use the token of {of}: {why}")]
    Token { of: String, why: String },
    #[error("cannot listen at {what}")]
    Listen {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("cannot write the result")]
    Output(#[source] io::Error),
}

impl From<NoSize> for Failure {
    fn from(error: NoSize) -> Self {
        match error {
            NoSize::Open(error) => Self::Open(error),
            NoSize::Query(error) => Self::Query(error),
        }
    }
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Runtime(_) | Self::Signals(_) | Self::Output(_) | Self::Metrics { .. } => 1,
            Self::NotFound { .. } | Self::Ambiguous { .. } | Self::SeveralSessions { .. } => {
                NO_MATCH
            }
            Self::Config(_) | Self::Register(_) => WRONG_CONFIG,
            Self::WhichDatabase { .. } | Self::EmptyWindow | Self::NothingToSelect { .. } => 2,
            Self::Exposed { .. } | Self::WithoutToken { .. } | Self::NoHost { .. } => 2,
            Self::Token { .. } | Self::Listen { .. } => 1,
            Self::NobodyToAsk | Self::NoSuchJob { .. } | Self::LinesInCsv => 2,
            Self::Open(_) | Self::Start(_) | Self::Query(_) | Self::Store(_) => 4,
            Self::DamagedStore { .. } | Self::NoDatabase { .. } | Self::Copy(_) => 4,
            Self::Replay(ReplayError::Away(_) | ReplayError::Refused(_)) => 4,
            Self::Events { .. } | Self::Source { .. } | Self::NoEvents { .. } => 5,
            Self::SpoolDirectory { .. } | Self::Replay(_) => UNREADABLE,
        }
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// Success if anything matched.
pub(crate) fn matched(has_any: bool) -> ExitCode {
    if has_any {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO_MATCH)
    }
}

pub(crate) const DAMAGE_REMEDY: &str = "`executor doctor` says what is damaged; recover a copy of a file with `sqlite3 COPY .recover`, \
     and restore a server's from a backup";

/// What to do about a failure that does not say so itself.
pub(crate) fn remedy(failure: &Failure) -> Option<&'static str> {
    const ABSENT: &str = "name another one with --db or EXECUTOR_DB; `executor run` makes one";
    match failure {
        Failure::Query(error) if error.class == HistoryErrorClass::Absent => Some(ABSENT),
        Failure::Open(error) if error.is_absent() => Some(ABSENT),
        Failure::Query(error) if error.class == HistoryErrorClass::Damaged => Some(DAMAGE_REMEDY),
        _ => None,
    }
}

/// An error with its causes on one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Transparent errors say the same at every level.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
