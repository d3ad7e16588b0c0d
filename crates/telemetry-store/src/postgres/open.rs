//! An open connection of the writer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::pg::PgConnection;
use executor_core::{Entity, SessionId};
use uuid::Uuid;

use crate::postgres::acknowledged::Acknowledged;
use crate::postgres::address::Address;
use crate::postgres::connect::{ServerError, connect, newer, set_up};
use crate::postgres::memory::{Days, Rollups};
use crate::postgres::migrations::{self, Schema};
use crate::postgres::transaction::Connected;

/// An open connection, and what is known to be committed. Both go together: a server that took over from another one
/// may not have it.
pub(crate) struct Open {
    connection: PgConnection,
    pub(crate) entities: HashMap<Arc<Entity>, i64>,
    pub(crate) days: Days,
    pub(crate) rollups: Rollups,
    /// The rows of running sessions.
    pub(crate) sessions: HashMap<SessionId, i64>,
    /// The name of the directory that has the lock files of sessions.
    pub(crate) home: Option<Uuid>,
    /// Since when it has been open.
    pub(crate) since: Instant,
    /// The time for which it must have been open to judge sessions of other machines.
    pub(crate) judges_after: Duration,
}

/// What every connection of a writer has in common.
pub(crate) struct ConnectionSpec {
    pub(crate) address: Address,
    pub(crate) home: Option<Uuid>,
    pub(crate) judges_after: Duration,
    pub(crate) acknowledged: Acknowledged,
}

impl Connected for Open {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Open {
    fn new(spec: &ConnectionSpec) -> Result<Self, ServerError> {
        Ok(Self {
            connection: connect(&spec.address)?,
            entities: HashMap::new(),
            days: Days::default(),
            rollups: Rollups::default(),
            sessions: HashMap::new(),
            home: spec.home,
            since: Instant::now(),
            judges_after: spec.judges_after,
        })
    }

    /// Connects to copy into a database, which is migrated if it is new or an unfinished copy. `None` if it is neither, and
    /// lacks migrations.
    pub(crate) fn for_a_copy(address: &Address) -> Result<Option<Self>, ServerError> {
        let mut open = Self::new(&ConnectionSpec {
            address: address.clone(),
            home: None,
            judges_after: Duration::MAX,
            acknowledged: Acknowledged::default(),
        })?;
        let server = || address.to_string();
        let failed = |error: migrations::MigrationError| set_up(address, &*error);
        let (schema, is_copy) =
            migrations::schema_below_mark(&mut open.connection).map_err(failed)?;
        match schema {
            Schema::Current => return Ok(Some(open)),
            Schema::Older if !is_copy => return Ok(None),
            Schema::Newer(found) => return Err(newer(address, found)),
            Schema::Foreign => return Err(ServerError::Foreign { server: server() }),
            Schema::None | Schema::Older => {}
        }
        migrations::up(&mut open.connection).map_err(failed)?;
        Ok(Some(open))
    }

    /// Connects, to a server that may have taken over from another one, and migrates.
    pub(crate) fn connect(spec: &ConnectionSpec) -> Result<Self, ServerError> {
        let (address, mut open) = (&spec.address, Self::new(spec)?);
        let failed = |error: migrations::MigrationError| set_up(address, &*error);
        match migrations::schema(&mut open.connection).map_err(failed)? {
            Schema::Current => return Ok(open),
            Schema::Newer(found) => return Err(newer(address, found)),
            Schema::Foreign => {
                let server = address.to_string();
                return Err(ServerError::Foreign { server });
            }
            Schema::None | Schema::Older => {}
        }
        let names = migrations::up(&mut open.connection).map_err(failed)?;
        if !names.is_empty() {
            tracing::info!(server = %address, migrations = names.len(), "migrated the database");
        }
        Ok(open)
    }
}
