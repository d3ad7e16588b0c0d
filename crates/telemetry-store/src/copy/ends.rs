//! Opens both ends of a copy.

use std::fmt;

use executor_core::SessionId;
use uuid::Uuid;

use crate::copy::error::{CopyError, CopyProgress};
use crate::copy::run::{Copying, Report};
use crate::copy::side::{Sink, Source};
#[cfg(feature = "postgres")]
use crate::postgres::{address::Address, copy::ServerEnd};
use crate::sqlite::copy::FileEnd;
use crate::sqlite::open::address::Target;
use crate::sqlite::open::file_identity::identity;

/// One end of a copy, by its address.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum CopyEnd<'u> {
    /// A database in a file.
    File(&'u str),
    /// A database on a PostgreSQL server.
    #[cfg(feature = "postgres")]
    #[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
    Server(&'u str),
}

impl fmt::Debug for CopyEnd<'_> {
    /// An address may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(url) => f.debug_tuple("File").field(url).finish(),
            #[cfg(feature = "postgres")]
            Self::Server(url) => {
                let address = Address::parse(url).map(|address| address.to_string());
                let shown = address.unwrap_or_else(|_| "no address".to_owned());
                f.debug_tuple("Server").field(&shown).finish()
            }
        }
    }
}

/// What was copied, and has been read again from where it was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Copied {
    /// Whether it went on from where another copy had been interrupted.
    pub is_resumed: bool,
    /// The number of executions.
    pub executions: u64,
    /// How many of them the interrupted copy had left as they should be.
    pub were_there: u64,
    /// How many of them have lines.
    pub with_lines: u64,
    /// The number of rollups.
    pub rollups: u64,
    /// The number of executions of each session, in the order in which the sessions were opened.
    pub sessions: Vec<(SessionId, u64)>,
    /// The number of rows of each other table.
    pub tables: Vec<(&'static str, u64)>,
}

/// Copies a history with all that belongs to it into an empty database, which is made if there is none, and reads all of
/// it again: it has the same rows, by number and checksum, session by session.
///
/// The source is not changed. If it is being written, the copy has what was there when it began. Until the copy is whole,
/// no program opens the target. An interrupted one is repeated with the same arguments, and goes on with what is there.
/// This blocks.
///
/// # Errors
///
/// There is no history at the source, one is at the target, or one of them could not be read or written.
pub fn copy_history(
    from: CopyEnd<'_>,
    to: CopyEnd<'_>,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<Copied, CopyError> {
    if are_one_file(from, to) {
        return Err(CopyError::Same);
    }
    let (mut from, mut to) = (source(from)?, sink(to)?);
    let copying = Copying {
        from: &mut *from,
        to: &mut *to,
        progress,
    };
    Ok(Copied::of(&copying.run()?))
}

/// Whether two addresses lead to one file, whatever its names: SQLite would take it for two.
fn are_one_file(from: CopyEnd<'_>, to: CopyEnd<'_>) -> bool {
    let identity = |end| match end {
        CopyEnd::File(url) => Target::parse(url).ok()?.path().and_then(identity),
        #[cfg(feature = "postgres")]
        CopyEnd::Server(_) => None,
    };
    identity(from).is_some_and(|one| identity(to) == Some(one))
}

fn source(end: CopyEnd<'_>) -> Result<Box<dyn Source>, CopyError> {
    let opened = match end {
        CopyEnd::File(url) => FileEnd::source(url).map(|it| Box::new(it) as _),
        #[cfg(feature = "postgres")]
        CopyEnd::Server(url) => ServerEnd::source(url).map(|it| Box::new(it) as _),
    };
    opened.map_err(CopyError::OpenSource)
}

fn sink(end: CopyEnd<'_>) -> Result<Box<dyn Sink>, CopyError> {
    let opened: Result<Option<Box<dyn Sink>>, _> = match end {
        CopyEnd::File(url) => FileEnd::sink(url).map(|it| it.map(|it| Box::new(it) as _)),
        #[cfg(feature = "postgres")]
        CopyEnd::Server(url) => ServerEnd::sink(url).map(|it| it.map(|it| Box::new(it) as _)),
    };
    opened
        .map_err(CopyError::OpenTarget)?
        .ok_or(CopyError::Taken)
}

impl Copied {
    fn of(report: &Report) -> Self {
        let rows_of = |session: &i64| report.executions.get(session).map_or(0, |it| it.rows);
        let sessions = report.names.iter().filter_map(|(session, name)| {
            let name = Uuid::try_parse(name).ok()?;
            Some((SessionId::from_uuid(name), rows_of(session)))
        });
        let tables = report.tables.iter();
        Self {
            is_resumed: report.is_resumed,
            executions: report.executions.values().map(|it| it.rows).sum(),
            were_there: report.were_there,
            with_lines: report.with_lines,
            rollups: report.rollups.rows,
            sessions: sessions.collect(),
            tables: tables.map(|(name, digest)| (*name, digest.rows)).collect(),
        }
    }
}
