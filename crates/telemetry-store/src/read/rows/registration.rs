//! Rows of registrations as every backend selects them, and what they say.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use executor_core::ports::StoredRegistration;
use executor_core::registration::{Details, JobDetails, Overlap, Registration, ScheduleText};
use executor_core::{Entity, EntityKind, RegistrationId, RowId, SourceTier, Timestamp};

use crate::codes::table_of;
use crate::read::question::QueryError;

#[derive(QueryableByName)]
pub(crate) struct RegistrationRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Text)]
    app_key: String,
    #[diesel(sql_type = BigInt)]
    instance: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = Nullable<Text>)]
    instance_name: Option<String>,
    #[diesel(sql_type = Text)]
    source_tier: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    timeout_us: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    description: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    guard_description: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    source_location: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    registration_source: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    entity: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    overlap: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    overlap_limit: Option<i64>,
    #[diesel(sql_type = BigInt)]
    priority: i64,
    #[diesel(sql_type = BigInt)]
    once: i64,
    #[diesel(sql_type = Nullable<Text>)]
    program: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    annotations: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    retired_us: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    removed_us: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    handler_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    trigger_type: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    trigger_label: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    trigger_detail: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    job_group: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    arguments_json: Option<String>,
}

impl RegistrationRow {
    pub(crate) fn into_registration(
        self,
        kind: EntityKind,
    ) -> Result<StoredRegistration, QueryError> {
        let unknown = self.unknown(kind);
        let instance = u32::try_from(self.instance)
            .map_err(|_| unknown("instance", self.instance.to_string()))?;
        let details = self.details(&unknown)?;
        let job = self.trigger_type.map(|trigger_type| JobDetails {
            handler_name: self.handler_name,
            schedule: ScheduleText {
                trigger_type,
                label: self.trigger_label,
                detail: self.trigger_detail,
            },
            group: self.job_group,
            arguments_json: self.arguments_json,
        });
        let entity = Arc::new(Entity {
            kind,
            app_key: self.app_key,
            instance,
            name: self.name,
            topic: self.topic,
        });
        Ok(StoredRegistration {
            id: RegistrationId {
                kind,
                row: RowId::new(self.id),
            },
            registration: Registration {
                entity,
                details,
                job,
            },
            retired_at: self.retired_us.map(Timestamp::from_micros),
            removed_at: self.removed_us.map(Timestamp::from_micros),
        })
    }

    fn unknown(&self, kind: EntityKind) -> impl Fn(&'static str, String) -> QueryError + use<> {
        let id = self.id;
        move |what, value| QueryError::unknown(table_of(kind), id, what, &value)
    }

    fn details(
        &self,
        unknown: &impl Fn(&'static str, String) -> QueryError,
    ) -> Result<Details, QueryError> {
        let tier = [SourceTier::App, SourceTier::Framework]
            .into_iter()
            .find(|tier| tier.as_str() == self.source_tier);
        let overlap = self.overlap.as_deref().map(|word| {
            let known = Overlap::ALL.into_iter().find(|rule| rule.as_str() == word);
            known.ok_or_else(|| unknown("overlap rule", word.to_owned()))
        });
        let limit = self.overlap_limit.map(|limit| {
            u32::try_from(limit).map_err(|_| unknown("overlap limit", limit.to_string()))
        });
        let micros = |us: i64| u64::try_from(us).map_err(|_| unknown("timeout", us.to_string()));
        let timeout = self.timeout_us.map(micros).transpose()?;
        Ok(Details {
            instance_name: self.instance_name.clone(),
            source_tier: tier.ok_or_else(|| unknown("source tier", self.source_tier.clone()))?,
            timeout: timeout.map(Duration::from_micros),
            description: self.description.clone(),
            guard_description: self.guard_description.clone(),
            source_location: self.source_location.clone(),
            registration_source: self.registration_source.clone(),
            entity: self.entity.clone(),
            overlap: overlap.transpose()?,
            overlap_limit: limit.transpose()?,
            priority: i32::try_from(self.priority)
                .map_err(|_| unknown("priority", self.priority.to_string()))?,
            once: self.once != 0,
            program: self.program.clone(),
            annotations: self.annotations.clone(),
        })
    }
}
