//! Rows of missed runs, pauses and schedules, and what they say.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use executor_core::ports::{InForce, MissedReason, MissedRuns, Pause, SchedulePlan};
use executor_core::{Entity, SessionId, Timestamp};

use crate::read::question::{QueryError, known_count};
use crate::read::rows::execution::uuid_of;

#[derive(QueryableByName)]
pub(crate) struct MissedRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Text)]
    app_key: String,
    #[diesel(sql_type = BigInt)]
    instance: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    first_due_us: i64,
    #[diesel(sql_type = BigInt)]
    last_due_us: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    session_uuid: Option<Vec<u8>>,
}

impl MissedRow {
    pub(crate) fn into_missed(self) -> Result<MissedRuns, QueryError> {
        let unknown = |what, value: &dyn ToString| {
            QueryError::unknown("missed_runs", self.id, what, &value.to_string())
        };
        let reason = MissedReason::parse(&self.reason);
        let reason = reason.ok_or_else(|| unknown("reason", &self.reason))?;
        let count = known_count("missed_runs", self.id, "count", self.count)?;
        let instance = u32::try_from(self.instance);
        let instance = instance.map_err(|_| unknown("instance", &self.instance))?;
        Ok(MissedRuns {
            session: session_of(self.session_uuid.as_deref())?,
            entity: Arc::new(Entity::job(self.app_key, instance, self.name)),
            reason,
            count,
            first_due: Timestamp::from_micros(self.first_due_us),
            last_due: Timestamp::from_micros(self.last_due_us),
        })
    }
}

pub(crate) fn session_of(uuid: Option<&[u8]>) -> Result<Option<SessionId>, QueryError> {
    let uuid = uuid.map(|uuid| uuid_of(uuid, "a session's uuid is malformed"));
    Ok(uuid.transpose()?.map(SessionId::from_uuid))
}

#[derive(QueryableByName)]
pub(crate) struct PauseRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    app_key: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    instance: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = BigInt)]
    from_us: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    until_us: Option<i64>,
    #[diesel(sql_type = Binary)]
    session_uuid: Vec<u8>,
}

impl PauseRow {
    pub(crate) fn into_pause(self) -> Result<Pause, QueryError> {
        let entity = match (self.app_key, self.instance, self.name) {
            (Some(app_key), Some(instance), Some(name)) => {
                let number = u32::try_from(instance);
                let number = number
                    .map_err(|_| QueryError::unknown("pauses", self.id, "instance", &instance))?;
                Some(Arc::new(Entity::job(app_key, number, name)))
            }
            _ => None,
        };
        let session = uuid_of(&self.session_uuid, "a session's uuid is malformed")?;
        Ok(Pause {
            session: SessionId::from_uuid(session),
            entity,
            from: Timestamp::from_micros(self.from_us),
            until: self.until_us.map(Timestamp::from_micros),
        })
    }
}

#[derive(QueryableByName)]
pub(crate) struct InForceRow {
    #[diesel(sql_type = BigInt)]
    from_us: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    until_us: Option<i64>,
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = Nullable<Text>)]
    zone: Option<String>,
    #[diesel(sql_type = BigInt)]
    jitter_us: i64,
    #[diesel(sql_type = Text)]
    missed: String,
    #[diesel(sql_type = BigInt)]
    persistent: i64,
}

impl InForceRow {
    pub(crate) fn into_in_force(self) -> InForce {
        InForce {
            plan: SchedulePlan {
                text: self.text,
                time_zone: self.zone,
                jitter: Duration::from_micros(u64::try_from(self.jitter_us).unwrap_or_default()),
                missed: self.missed,
                is_persistent: self.persistent != 0,
            },
            from: Timestamp::from_micros(self.from_us),
            until: self.until_us.map(Timestamp::from_micros),
        }
    }
}
