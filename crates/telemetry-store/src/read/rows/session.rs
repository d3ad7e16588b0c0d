//! Rows of sessions as every backend selects them, and what they say.

use std::collections::HashMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use executor_core::ports::{SeenByServer, Session, SessionCounts, SessionStatus, StoredSession};
use executor_core::{DropReason, Durability, Failure, Ledger, SessionId, Timestamp};

use crate::codes::REBUILT;
use crate::read::question::{QueryError, known_count};
use crate::read::rows::execution::uuid_of;

#[derive(QueryableByName)]
pub(crate) struct SessionRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Binary)]
    session_uuid: Vec<u8>,
    #[diesel(sql_type = Text)]
    host: String,
    #[diesel(sql_type = BigInt)]
    pid: i64,
    #[diesel(sql_type = BigInt)]
    started_us: i64,
    #[diesel(sql_type = BigInt)]
    heartbeat_us: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    stopped_us: Option<i64>,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    error_type: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    error_message: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    error_report: Option<String>,
    #[diesel(sql_type = BigInt)]
    offered: i64,
    #[diesel(sql_type = BigInt)]
    recovered: i64,
    #[diesel(sql_type = BigInt)]
    stored: i64,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
    #[diesel(sql_type = BigInt)]
    spooled: i64,
    #[diesel(sql_type = BigInt)]
    filtered: i64,
    #[diesel(sql_type = BigInt)]
    dropped_overflow: i64,
    #[diesel(sql_type = BigInt)]
    dropped_exhausted: i64,
    #[diesel(sql_type = BigInt)]
    dropped_constraint: i64,
    #[diesel(sql_type = BigInt)]
    dropped_unstorable: i64,
    #[diesel(sql_type = BigInt)]
    dropped_damaged: i64,
    #[diesel(sql_type = BigInt)]
    dropped_shutdown: i64,
    #[diesel(sql_type = Nullable<Text>)]
    durability: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    program: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    version: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    config_hash: Option<String>,
    #[diesel(sql_type = BigInt)]
    is_counted: i64,
    #[diesel(sql_type = BigInt)]
    pruned: i64,
    #[diesel(sql_type = BigInt)]
    taken_over: i64,
    #[diesel(sql_type = Nullable<Text>)]
    ledger_state: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    silent_us: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    clock_ahead_us: Option<i64>,
}

impl SessionRow {
    /// `stored` has the number of rows that were stored for each session.
    pub(crate) fn into_session(
        self,
        stored: &HashMap<i64, i64>,
    ) -> Result<StoredSession, QueryError> {
        const STATUSES: [SessionStatus; 4] = [
            SessionStatus::Running,
            SessionStatus::Success,
            SessionStatus::Failure,
            SessionStatus::Crashed,
        ];
        let unknown = |what, value: String| QueryError::unknown("sessions", self.id, what, &value);
        let status = STATUSES.into_iter().find(|it| it.as_str() == self.status);
        let durability = self.durability.as_deref().map(|word| {
            let known = Durability::ALL.into_iter().find(|it| it.as_str() == word);
            known.ok_or_else(|| unknown("durability", word.to_owned()))
        });
        let ledger = Ledger {
            durability: durability.transpose()?,
            is_rebuilt: self.ledger_state.as_deref() == Some(REBUILT),
            ..self.ledger()?
        };
        let stored = stored.get(&self.id).copied().unwrap_or(0);
        let counts = SessionCounts {
            is_counted: self.is_counted != 0,
            pruned: self.count("pruned", self.pruned)?,
            taken_over: self.count("taken_over", self.taken_over)?,
            is_final: self.ledger_state.is_some(),
            stored: self.count("stored", stored)?,
        };
        Ok(StoredSession {
            session: Session {
                id: SessionId::from_uuid(uuid_of(
                    &self.session_uuid,
                    "a session's uuid is malformed",
                )?),
                host: self.host,
                pid: u32::try_from(self.pid).map_err(|_| unknown("pid", self.pid.to_string()))?,
                started_at: Timestamp::from_micros(self.started_us),
                program: self.program,
                version: self.version,
                config_hash: self.config_hash,
            },
            heartbeat_at: Timestamp::from_micros(self.heartbeat_us),
            stopped_at: self.stopped_us.map(Timestamp::from_micros),
            status: status.ok_or_else(|| unknown("status", self.status.clone()))?,
            failure: self.error_type.map(|error_type| Failure {
                error_type,
                message: self.error_message.unwrap_or_default(),
                report: self.error_report,
            }),
            ledger,
            counts,
            by_server: self.silent_us.map(|silent_us| SeenByServer {
                // A server's clock may be set, too.
                ago: Duration::from_micros(u64::try_from(silent_us).unwrap_or_default()),
                clock_ahead_us: self.clock_ahead_us.unwrap_or_default(),
            }),
        })
    }

    fn ledger(&self) -> Result<Ledger, QueryError> {
        let mut ledger = Ledger {
            offered: self.count("offered", self.offered)?,
            recovered: self.count("recovered", self.recovered)?,
            stored: self.count("stored", self.stored)?,
            waiting: self.count("waiting", self.waiting)?,
            spooled: self.count("spooled", self.spooled)?,
            filtered: self.count("filtered", self.filtered)?,
            ..Ledger::default()
        };
        for (reason, count) in [
            (DropReason::Overflow, self.dropped_overflow),
            (DropReason::Exhausted, self.dropped_exhausted),
            (DropReason::Constraint, self.dropped_constraint),
            (DropReason::Unstorable, self.dropped_unstorable),
            (DropReason::Damaged, self.dropped_damaged),
            (DropReason::Shutdown, self.dropped_shutdown),
        ] {
            ledger.add_dropped(reason, self.count(reason.as_str(), count)?);
        }
        Ok(ledger)
    }

    fn count(&self, what: &'static str, count: i64) -> Result<u64, QueryError> {
        known_count("sessions", self.id, what, count)
    }
}
