//! The deadline of a query, the reasons why it can fail, and what it leaves out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use executor_core::ports::{HistoryErrorClass, PageToken};
use thiserror::Error;

#[cfg(feature = "postgres")]
use crate::postgres::{classify, connect::ServerError};
use crate::sqlite::classify::is_damage;
use crate::sqlite::open::error::OpenError;

/// The reason why a query failed, in this store's terms.
#[derive(Debug, Error)]
pub(crate) enum QueryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Connect(#[from] ServerError),
    #[error("cannot read the history")]
    Read(#[from] diesel::result::Error),
    #[error("row {row} of {table} has the {what} {value}, which this program does not know")]
    Unknown {
        table: &'static str,
        row: i64,
        what: &'static str,
        value: String,
    },
    #[error("{0}")]
    Damaged(String),
    #[error("it took longer than {0:?}: ask for less, or allow more time")]
    TimedOut(Duration),
    #[cfg(feature = "postgres")]
    #[error(
        "somebody holds a lock on the history's tables: `SELECT * FROM pg_locks WHERE granted` on the server names the process"
    )]
    Locked,
    #[error("these are not valid periods: {0}")]
    Periods(&'static str),
    #[error("`{0}` is not a page token of this query")]
    Token(PageToken),
}

impl QueryError {
    pub(crate) fn unknown(
        table: &'static str,
        row: i64,
        what: &'static str,
        value: &impl ToString,
    ) -> Self {
        let value = value.to_string();
        Self::Unknown {
            table,
            row,
            what,
            value,
        }
    }

    /// Whether only the row or the stretch of rows that was read is to blame.
    pub(crate) fn is_damage(&self) -> bool {
        self.class() == HistoryErrorClass::Damaged
    }

    pub(crate) fn class(&self) -> HistoryErrorClass {
        match self {
            Self::Open(OpenError::Absent { .. }) => HistoryErrorClass::Absent,
            Self::Open(OpenError::Damaged { .. }) => HistoryErrorClass::Damaged,
            Self::Unknown { .. } | Self::Damaged(_) => HistoryErrorClass::Damaged,
            Self::Open(error) if error.is_lasting() => HistoryErrorClass::Unsupported,
            Self::Read(error) if is_damage(error) => HistoryErrorClass::Damaged,
            #[cfg(feature = "postgres")]
            Self::Read(error) if classify::is_damage(error) => HistoryErrorClass::Damaged,
            #[cfg(feature = "postgres")]
            Self::Read(error) if classify::is_timeout(error) => HistoryErrorClass::TimedOut,
            #[cfg(feature = "postgres")]
            Self::Connect(error) => error.class(),
            // A column without the value that each row of it has.
            Self::Read(diesel::result::Error::DeserializationError(_)) => {
                HistoryErrorClass::Damaged
            }
            Self::Open(_) | Self::Read(_) => HistoryErrorClass::Unavailable,
            Self::TimedOut(_) => HistoryErrorClass::TimedOut,
            #[cfg(feature = "postgres")]
            Self::Locked => HistoryErrorClass::Unavailable,
            Self::Token(_) | Self::Periods(_) => HistoryErrorClass::Invalid,
        }
    }
}

/// More than any history holds, and few enough that sums of such counts do not overflow.
const COUNT_MAX: i64 = 1 << 40;

/// A count as the tables keep it: none is negative, and none is as large as damage makes it.
pub(crate) fn known_count(
    table: &'static str,
    row: i64,
    what: &'static str,
    count: i64,
) -> Result<u64, QueryError> {
    match u64::try_from(count) {
        Ok(known) if count <= COUNT_MAX => Ok(known),
        _ => Err(QueryError::unknown(table, row, what, &count)),
    }
}

/// The deadline of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let at = Instant::now() + limit;
        Self { at, limit }
    }

    /// Fails once the deadline has passed. Called between two pieces of work.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if Instant::now() < self.at {
            Ok(())
        } else {
            Err(QueryError::TimedOut(self.limit))
        }
    }
}

/// The number of messages about damage to keep.
const KEPT_MAX: usize = 100;

/// What was left out of answers because it is damaged, each once, in the order in which it was met.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    damages: Vec<String>,
    /// How often damage was met, including damage that is already noted.
    met: u64,
}

impl LeftOut {
    pub(crate) fn all(&self) -> Vec<String> {
        self.noted().damages.clone()
    }

    /// Returns how often damage was met.
    pub(crate) fn met(&self) -> u64 {
        self.noted().met
    }

    pub(crate) fn note(&self, what: String) {
        let mut noted = self.noted();
        noted.met += 1;
        if noted.damages.len() < KEPT_MAX && !noted.damages.contains(&what) {
            noted.damages.push(what);
        }
    }

    /// Leaves an item out if it is damaged.
    pub(crate) fn readable<T>(&self, item: Result<T, QueryError>) -> Result<Option<T>, QueryError> {
        match item {
            Ok(item) => Ok(Some(item)),
            Err(error) if error.is_damage() => {
                self.note(said(&error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its cause, which alone says what is damaged.
fn said(error: &QueryError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
