//! Rows of episodes of loss, and what they say.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use executor_core::ports::{Gap, GapReason};
use executor_core::{Entity, SessionId, Timestamp};

use crate::codes::kind_of;
use crate::read::question::{QueryError, known_count};
use crate::read::rows::execution::uuid_of;

#[derive(QueryableByName)]
pub(crate) struct GapRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    first_us: i64,
    #[diesel(sql_type = BigInt)]
    last_us: i64,
    #[diesel(sql_type = Binary)]
    session_uuid: Vec<u8>,
}

impl GapRow {
    pub(crate) fn into_gap(self, entities: Vec<GapEntityRow>) -> Result<Gap, QueryError> {
        let reason = GapReason::parse(&self.reason);
        let session = uuid_of(&self.session_uuid, "a session's uuid is malformed")?;
        let entities = entities.into_iter().map(|it| it.into_entity(self.id));
        Ok(Gap {
            session: SessionId::from_uuid(session),
            reason: reason
                .ok_or_else(|| QueryError::unknown("gaps", self.id, "reason", &self.reason))?,
            count: known_count("gaps", self.id, "count", self.count)?,
            first_at: Timestamp::from_micros(self.first_us),
            last_at: Timestamp::from_micros(self.last_us),
            entities: entities.collect::<Result<_, _>>()?,
        })
    }
}

/// What a listener or job has lost in an episode.
#[derive(QueryableByName)]
pub(crate) struct GapEntityRow {
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = Text)]
    app_key: String,
    #[diesel(sql_type = BigInt)]
    instance: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl GapEntityRow {
    fn into_entity(self, gap: i64) -> Result<(Arc<Entity>, u64), QueryError> {
        let unknown = |what, value: i64| QueryError::unknown("gap_entities", gap, what, &value);
        let instance =
            u32::try_from(self.instance).map_err(|_| unknown("instance", self.instance))?;
        let entity = Entity {
            kind: kind_of(self.kind).ok_or_else(|| unknown("kind", self.kind))?,
            app_key: self.app_key,
            instance,
            name: self.name,
            topic: self.topic,
        };
        let count = known_count("gap_entities", gap, "count", self.count)?;
        Ok((Arc::new(entity), count))
    }
}
