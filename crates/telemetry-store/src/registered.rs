//! Registrations as they are stored, page by page, the latest first.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use executor_core::registration::{Details, Overlap, ScheduleText};
use executor_core::{
    JobId, JobKey, JobRegistration, ListenerId, ListenerKey, ListenerRegistration, SourceTier,
    Timestamp,
};

use crate::history::{PageOf, PageRequest};

use crate::query::QueryError;
use crate::schema::{listeners, scheduled_jobs};

/// Which registrations. Default: all.
///
/// ```
/// use telemetry_store::{Registered, RegistrationState};
///
/// let live = Registered {
///     app_key: Some("lights".into()),
///     state: RegistrationState::Live,
/// };
/// assert_ne!(live, Registered::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Those of this app.
    pub app_key: Option<String>,
    /// Those that stand like this.
    pub state: RegistrationState,
}

/// How a registration stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationState {
    /// Whichever way.
    #[default]
    Any,
    /// Neither retired nor removed.
    Live,
}

/// One listener as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredListener {
    /// Its row in `listeners`.
    pub id: ListenerId,
    /// What was registered last.
    pub registration: ListenerRegistration,
    /// Since when its app does not register it any more.
    pub retired_at: Option<Timestamp>,
    /// Since when it is cancelled.
    pub removed_at: Option<Timestamp>,
}

/// One job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredJob {
    /// Its row in `scheduled_jobs`.
    pub id: JobId,
    /// What was registered last.
    pub registration: JobRegistration,
    /// Since when its app does not register it any more.
    pub retired_at: Option<Timestamp>,
    /// Since when it is cancelled.
    pub removed_at: Option<Timestamp>,
}

/// The columns that listeners and jobs share.
macro_rules! registered {
    ($row:ident, $table:ident) => {
        #[derive(Queryable, Selectable)]
        #[diesel(table_name = $table)]
        struct $row {
            id: i64,
            app_key: String,
            instance: i64,
            name: String,
            instance_name: Option<String>,
            source_tier: String,
            timeout_us: Option<i64>,
            description: Option<String>,
            guard_description: Option<String>,
            source_location: Option<String>,
            registration_source: Option<String>,
            entity: Option<String>,
            overlap: Option<String>,
            overlap_limit: Option<i64>,
            priority: i64,
            once: i64,
            immediate: i64,
            debounce_us: Option<i64>,
            throttle_us: Option<i64>,
            hold_us: Option<i64>,
            retired_us: Option<i64>,
            removed_us: Option<i64>,
        }

        impl $row {
            fn instance(&self) -> Result<u32, QueryError> {
                let instance = u32::try_from(self.instance);
                instance.map_err(|_| self.unknown("instance", &self.instance))
            }

            fn details(&self) -> Result<Details, QueryError> {
                Ok(Details {
                    instance_name: self.instance_name.clone(),
                    source_tier: self.source_tier()?,
                    timeout: self.duration("timeout", self.timeout_us)?,
                    description: self.description.clone(),
                    guard_description: self.guard_description.clone(),
                    source_location: self.source_location.clone(),
                    registration_source: self.registration_source.clone(),
                    entity: self.entity.clone(),
                    overlap: self.overlap()?,
                    overlap_limit: self
                        .overlap_limit
                        .map(|limit| {
                            u32::try_from(limit).map_err(|_| self.unknown("overlap limit", &limit))
                        })
                        .transpose()?,
                    priority: i32::try_from(self.priority)
                        .map_err(|_| self.unknown("priority", &self.priority))?,
                    once: self.once != 0,
                    immediate: self.immediate != 0,
                    debounce: self.duration("debounce", self.debounce_us)?,
                    throttle: self.duration("throttle", self.throttle_us)?,
                    hold: self.duration("hold", self.hold_us)?,
                })
            }

            fn source_tier(&self) -> Result<SourceTier, QueryError> {
                let mut tiers = [SourceTier::App, SourceTier::Framework].into_iter();
                let tier = tiers.find(|tier| tier.as_str() == self.source_tier);
                tier.ok_or_else(|| self.unknown("source tier", &self.source_tier))
            }

            fn overlap(&self) -> Result<Option<Overlap>, QueryError> {
                let Some(word) = &self.overlap else {
                    return Ok(None);
                };
                let rule = Overlap::ALL.into_iter().find(|rule| rule.as_str() == word);
                let rule = rule.ok_or_else(|| self.unknown("overlap rule", word))?;
                Ok(Some(rule))
            }

            fn duration(
                &self,
                what: &'static str,
                us: Option<i64>,
            ) -> Result<Option<Duration>, QueryError> {
                let micros = |us| u64::try_from(us).map_err(|_| self.unknown(what, &us));
                Ok(us.map(micros).transpose()?.map(Duration::from_micros))
            }

            fn unknown(&self, what: &'static str, value: &impl ToString) -> QueryError {
                QueryError::unknown(stringify!($table), self.id, what, value)
            }
        }
    };
}

registered!(ListenerRow, listeners);
registered!(JobRow, scheduled_jobs);

#[derive(Queryable, Selectable)]
#[diesel(table_name = scheduled_jobs)]
struct JobColumns {
    handler_name: Option<String>,
    trigger_type: String,
    trigger_label: Option<String>,
    trigger_detail: Option<String>,
    job_group: Option<String>,
    arguments_json: Option<String>,
}

pub(crate) fn listeners(
    connection: &mut SqliteConnection,
    which: &Registered,
    page: PageRequest,
) -> Result<PageOf<StoredListener>, QueryError> {
    let mut question = listeners::table
        .filter(listeners::id.lt(page.before.unwrap_or(i64::MAX)))
        .order(listeners::id.desc())
        .limit(i64::from(page.limit))
        .select((ListenerRow::as_select(), listeners::topic))
        .into_boxed();
    if let Some(app_key) = &which.app_key {
        question = question.filter(listeners::app_key.eq(app_key));
    }
    if which.state == RegistrationState::Live {
        question = question.filter(listeners::retired_us.is_null());
        question = question.filter(listeners::removed_us.is_null());
    }
    let rows: Vec<(ListenerRow, String)> = question.load(connection)?;
    PageOf::new(
        rows,
        page,
        |(row, _)| row.id,
        |(row, topic)| {
            Ok(StoredListener {
                id: ListenerId(row.id),
                registration: ListenerRegistration {
                    details: row.details()?,
                    key: Arc::new(ListenerKey {
                        instance: row.instance()?,
                        app_key: row.app_key,
                        name: row.name,
                        topic,
                    }),
                },
                retired_at: row.retired_us.map(Timestamp::from_micros),
                removed_at: row.removed_us.map(Timestamp::from_micros),
            })
        },
    )
}

pub(crate) fn jobs(
    connection: &mut SqliteConnection,
    which: &Registered,
    page: PageRequest,
) -> Result<PageOf<StoredJob>, QueryError> {
    let mut question = scheduled_jobs::table
        .filter(scheduled_jobs::id.lt(page.before.unwrap_or(i64::MAX)))
        .order(scheduled_jobs::id.desc())
        .limit(i64::from(page.limit))
        .select((JobRow::as_select(), JobColumns::as_select()))
        .into_boxed();
    if let Some(app_key) = &which.app_key {
        question = question.filter(scheduled_jobs::app_key.eq(app_key));
    }
    if which.state == RegistrationState::Live {
        question = question.filter(scheduled_jobs::retired_us.is_null());
        question = question.filter(scheduled_jobs::removed_us.is_null());
    }
    let rows: Vec<(JobRow, JobColumns)> = question.load(connection)?;
    PageOf::new(
        rows,
        page,
        |(row, _)| row.id,
        |(row, columns)| {
            Ok(StoredJob {
                id: JobId(row.id),
                registration: JobRegistration {
                    details: row.details()?,
                    key: Arc::new(JobKey {
                        instance: row.instance()?,
                        app_key: row.app_key,
                        name: row.name,
                    }),
                    handler_name: columns.handler_name,
                    schedule: ScheduleText {
                        trigger_type: columns.trigger_type,
                        label: columns.trigger_label,
                        detail: columns.trigger_detail,
                    },
                    group: columns.job_group,
                    arguments_json: columns.arguments_json,
                },
                retired_at: row.retired_us.map(Timestamp::from_micros),
                removed_at: row.removed_us.map(Timestamp::from_micros),
            })
        },
    )
}
