//! Registrations as they are stored, page by page, the latest first.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use executor_core::EntityKind;
use executor_core::ports::{
    PageOf, PageRequest, RegistrationFilter, RegistrationState, StoredRegistration,
};

use crate::codes::table_of;
use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::registration::RegistrationRow;
use crate::sqlite::read::asked::Asked;

/// Returns the columns that only one of the two tables has.
const fn columns_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Listener => {
            "topic, NULL AS handler_name, NULL AS trigger_type, NULL AS trigger_label, \
             NULL AS trigger_detail, NULL AS job_group, NULL AS arguments_json"
        }
        EntityKind::Job => {
            "'' AS topic, handler_name, trigger_type, trigger_label, trigger_detail, job_group, \
             arguments_json"
        }
    }
}

pub(crate) fn registrations(
    asked: &mut Asked<'_>,
    filter: &RegistrationFilter,
    page: &PageRequest,
) -> Result<PageOf<StoredRegistration>, QueryError> {
    let (table, columns) = (table_of(filter.kind), columns_of(filter.kind));
    let live = match filter.state {
        RegistrationState::Any => "",
        RegistrationState::Live => "AND retired_us IS NULL AND removed_us IS NULL",
    };
    let rows: Vec<RegistrationRow> = diesel::sql_query(format!(
        "SELECT id, app_key, instance, name, instance_name, source_tier, timeout_us, description, \
         guard_description, source_location, registration_source, entity, overlap, overlap_limit, \
         priority, once, program, annotations, retired_us, removed_us, {columns} \
         FROM {table} WHERE id < ?1 AND (?2 IS NULL OR app_key = ?2) {live} ORDER BY id DESC LIMIT ?3"
    ))
    .bind::<BigInt, _>(latest_first(page)?)
    .bind::<Nullable<Text>, _>(filter.app_key.as_deref())
    .bind::<BigInt, _>(i64::from(page.limit))
    .load(asked.connection)?;
    page_of(
        rows,
        page,
        asked.left_out,
        |row| row.id,
        |row| row.into_registration(filter.kind),
    )
}
