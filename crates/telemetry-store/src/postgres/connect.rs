//! Connects to a server and looks whether it can keep a history.

use std::io;

use diesel::connection::CacheSize;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Text};
use executor_core::ports::HistoryErrorClass;
use thiserror::Error;

use crate::copy::mark::is_mark;
use crate::postgres::address::{Address, Unaddressable};

/// The oldest version that has what the tables need.
const OLDEST: i32 = 150_000;

/// What every connection asks of libpq, unless the address does. A dead server is noticed within ten seconds or so.
const PARAMETERS: [(&str, &str); 6] = [
    ("connect_timeout", "5"),
    ("keepalives", "1"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];

/// The reason why a database on a server was not opened. In every case the database is unchanged. No text of it has the
/// password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address does not name a database on a server.
    #[error(transparent)]
    Address(#[from] Unaddressable),
    /// The server does not answer, or does not let us in.
    #[error("cannot connect to `{server}`: {message}")]
    Unreachable {
        /// Where it should be.
        server: String,
        /// libpq's message.
        message: String,
    },
    /// The server is too old.
    #[error("`{server}` is PostgreSQL {found}, but {} is the oldest that will do: upgrade it", OLDEST / 10_000)]
    TooOld {
        /// Where it is.
        server: String,
        /// Its version.
        found: i32,
    },
    /// The database cannot hold every text.
    #[error(
        "the database at `{server}` has the encoding {found}: create one with ENCODING 'UTF8', and give that"
    )]
    Encoding {
        /// Where it is.
        server: String,
        /// Its encoding.
        found: String,
    },
    /// The server is a standby, which takes no records.
    #[error(
        "`{server}` is a standby: give the address of the primary server, or both, separated by a comma"
    )]
    Standby {
        /// Where it is.
        server: String,
    },
    /// There is no history in the database.
    #[error("the database at `{server}` has no history")]
    Absent {
        /// Where it is.
        server: String,
    },
    /// Somebody else's tables are in the way.
    #[error(
        "the schema `executor` at `{server}` holds what another program has made: use another database"
    )]
    Foreign {
        /// Where it is.
        server: String,
    },
    /// The database was written by an older version of this program.
    #[error(
        "the database at `{server}` has an older schema than this program reads: start `executor run` once, or `executor migrate up`"
    )]
    Older {
        /// Where it is.
        server: String,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the database at `{server}` has the schema {found}, which this program does not know: use a newer program"
    )]
    Newer {
        /// Where it is.
        server: String,
        /// The migration that this program does not have.
        found: String,
    },
    /// A history is being copied into the database, or the copy was interrupted.
    #[error(
        "a copy into the database at `{server}` is not finished: wait for it, or repeat the same `executor copy`; to give \
         it up, drop the schema `executor`"
    )]
    Unfinished {
        /// Where it is.
        server: String,
    },
    /// The server refused a statement while the database was opened.
    #[error("cannot set up the database at `{server}`: {message}")]
    SetUp {
        /// Where it is.
        server: String,
        /// The server's message.
        message: String,
    },
    /// The directory for the files of this machine cannot be used.
    #[error("cannot use the directory for the state of this machine")]
    State(#[source] io::Error),
    /// The thread that writes could not be started.
    #[error("cannot start the writer thread")]
    Thread(#[source] io::Error),
}

impl ServerError {
    /// Whether waiting will not help, only a person.
    pub(crate) fn is_lasting(&self) -> bool {
        const OF_A_PERSON: [&str; 10] = [
            "authentication failed",
            "no password supplied",
            "does not exist",
            "no pg_hba.conf entry",
            "certificate",
            "SSL error",
            "does not support SSL",
            "definition of service",
            "permission denied",
            "invalid ",
        ];
        match self {
            Self::Unreachable { message, .. } | Self::SetUp { message, .. } => {
                OF_A_PERSON.iter().any(|part| message.contains(part))
            }
            Self::Standby { .. } => false,
            _ => true,
        }
    }

    /// What it means for somebody who reads the history.
    pub(crate) const fn class(&self) -> HistoryErrorClass {
        match self {
            Self::Absent { .. } => HistoryErrorClass::Absent,
            Self::Address(_)
            | Self::TooOld { .. }
            | Self::Encoding { .. }
            | Self::Foreign { .. }
            | Self::Older { .. }
            | Self::Newer { .. } => HistoryErrorClass::Unsupported,
            Self::Unfinished { .. }
            | Self::Unreachable { .. }
            | Self::Standby { .. }
            | Self::SetUp { .. }
            | Self::State(_)
            | Self::Thread(_) => HistoryErrorClass::Unavailable,
        }
    }
}

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Bool)]
    is_standby: bool,
}

/// Opens a connection for writing. Among several hosts it passes standbys over.
pub(crate) fn connect(address: &Address) -> Result<PgConnection, ServerError> {
    let version = concat!("executor/", env!("CARGO_PKG_VERSION"));
    let (connection, is_standby) = open(
        address,
        &[
            ("application_name", version),
            ("target_session_attrs", "read-write"),
        ],
    )?;
    match is_standby {
        true => Err(ServerError::Standby {
            server: address.to_string(),
        }),
        false => Ok(connection),
    }
}

/// Opens a connection for reading, from a standby too.
pub(crate) fn connect_reader(address: &Address) -> Result<PgConnection, ServerError> {
    let version = concat!("executor/", env!("CARGO_PKG_VERSION"), " reader");
    Ok(open(address, &[("application_name", version)])?.0)
}

/// Opens a connection, and returns whether the server is a standby.
fn open(address: &Address, more: &[(&str, &str)]) -> Result<(PgConnection, bool), ServerError> {
    let parameters: Vec<_> = PARAMETERS.iter().chain(more).copied().collect();
    let connection = PgConnection::establish(&address.keywords(&parameters));
    let mut connection = connection.map_err(|error| ServerError::Unreachable {
        server: address.to_string(),
        message: one_line(&address.without_password(&error.to_string())),
    })?;
    // A prepared statement has a name, and a pooler gives the session to somebody else who has prepared others.
    connection.set_prepared_statement_cache_size(CacheSize::Disabled);
    let is_standby = look_at(&mut connection, address)?;
    Ok((connection, is_standby))
}

/// Returns whether a server that can keep a history is a standby.
fn look_at(connection: &mut PgConnection, address: &Address) -> Result<bool, ServerError> {
    let server = address.to_string();
    let question = "SELECT current_setting('server_version_num')::integer AS version, \
                    current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby";
    let looked: QueryResult<Server> = diesel::sql_query(question).get_result(connection);
    let looked = looked.map_err(|error| set_up(address, &error))?;
    match looked {
        Server { version, .. } if version < OLDEST => Err(ServerError::TooOld {
            server,
            found: version / 10_000,
        }),
        Server { encoding, .. } if encoding != "UTF8" => Err(ServerError::Encoding {
            server,
            found: encoding,
        }),
        Server { is_standby, .. } => Ok(is_standby),
    }
}

/// The error of a migration that this program does not know.
pub(crate) fn newer(address: &Address, found: String) -> ServerError {
    let server = address.to_string();
    match is_mark(&found) {
        true => ServerError::Unfinished { server },
        false => ServerError::Newer { server, found },
    }
}

/// The error of a statement while the database is opened.
pub(crate) fn set_up(address: &Address, error: &dyn std::error::Error) -> ServerError {
    ServerError::SetUp {
        server: address.to_string(),
        message: one_line(&address.without_password(&error.to_string())),
    }
}

/// libpq ends its messages with line feeds, and has one line for each address that it tried.
fn one_line(message: &str) -> String {
    let lines = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}
