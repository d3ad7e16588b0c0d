//! The connection and the deadline of a query, and the reasons why it can fail.

use std::time::{Duration, Instant};

use diesel::sqlite::SqliteConnection;
use executor_core::ports::{HistoryErrorClass, PageToken};
use thiserror::Error;

use crate::sqlite::classify::is_damage;
use crate::sqlite::open::error::OpenError;

/// The reason why a query failed, in this store's terms.
#[derive(Debug, Error)]
pub(crate) enum QueryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot read the history")]
    Read(#[from] diesel::result::Error),
    #[error("row {row} of {table} has the {what} {value}, which this program does not know")]
    Unknown {
        table: &'static str,
        row: i64,
        what: &'static str,
        value: String,
    },
    #[error("it took longer than {0:?}: ask for less, or allow more time")]
    TimedOut(Duration),
    #[error("these are no periods: {0}")]
    Periods(&'static str),
    #[error("`{0}` does not say where a page of this begins")]
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

    pub(crate) fn class(&self) -> HistoryErrorClass {
        match self {
            Self::Open(OpenError::Absent { .. }) => HistoryErrorClass::Absent,
            Self::Open(OpenError::Damaged { .. }) | Self::Unknown { .. } => {
                HistoryErrorClass::Damaged
            }
            Self::Open(error) if error.is_lasting() => HistoryErrorClass::Unsupported,
            Self::Read(error) if is_damage(error) => HistoryErrorClass::Damaged,
            Self::Open(_) | Self::Read(_) => HistoryErrorClass::Unavailable,
            Self::TimedOut(_) => HistoryErrorClass::TimedOut,
            Self::Token(_) | Self::Periods(_) => HistoryErrorClass::Invalid,
        }
    }
}

/// The deadline of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
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

/// The connection and the deadline of a query.
pub(crate) struct Asked<'c> {
    pub(crate) connection: &'c mut SqliteConnection,
    pub(crate) deadline: Deadline,
}
