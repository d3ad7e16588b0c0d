//! Why a history was not copied, and how far a copy is.

use std::error::Error;

use thiserror::Error;

use crate::copy::side::SideError;

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyStage {
    /// It writes executions.
    Copying,
    /// It reads again what it has written.
    Verifying,
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// What it is doing.
    pub stage: CopyStage,
    /// How many executions are done.
    pub done: u64,
    /// How many there should be; 0 where the source has not counted them.
    pub total: u64,
}

/// Why a history was not copied. The source is unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyError {
    /// Both addresses lead to the same history.
    #[error(
        "the target is the history that is to be copied, or a copy of its file: give an empty place"
    )]
    Same,
    /// There is a history already.
    #[error("the target holds a history already: give an empty place")]
    Taken,
    /// There is an unfinished copy of another history.
    #[error("the target holds an unfinished copy of another history: give an empty place")]
    OfAnother,
    /// The unfinished copy has sessions that the source has not.
    #[error(
        "a program records into the target, or the source has lost sessions since: give an empty place for the copy"
    )]
    Strangers,
    /// The source could not be opened.
    #[error("cannot copy from the source")]
    OpenSource(#[source] Box<dyn Error + Send + Sync>),
    /// The target could not be opened, or made.
    #[error("cannot copy to the target")]
    OpenTarget(#[source] Box<dyn Error + Send + Sync>),
    /// The source could not be read.
    #[error(
        "{what} of the source; what is copied so far stays, and the same copy goes on from there"
    )]
    Source {
        /// What could not be read.
        what: String,
        /// The database's own message.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The target could not be written or read. What is there stays; the same copy goes on from it.
    #[error(
        "{what} of the target; what is copied so far stays, and the same copy goes on from there"
    )]
    Target {
        /// What could not be done.
        what: String,
        /// The database's own message.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// What was written is not what is read back: somebody else writes there.
    #[error(
        "the target's {what} differ from the source's: if nobody else writes there, repeat the same copy"
    )]
    Differs {
        /// What differs.
        what: String,
    },
}

impl CopyError {
    pub(super) fn from(error: SideError) -> Self {
        let SideError { what, source } = error;
        Self::Source { what, source }
    }

    pub(super) fn to(error: SideError) -> Self {
        let SideError { what, source } = error;
        Self::Target { what, source }
    }
}
