//! Checks conditions without an index, slice by slice.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use executor_core::ports::{Filter, Order, Scope};
use executor_core::time::micros;
use executor_core::{SourceTier, Timestamp};

use crate::codes::{code_of, flag};
use crate::postgres::key::{Key, Keys};
use crate::postgres::read::asked::Asked;
use crate::postgres::read::places::places;
use crate::postgres::sql::text;
use crate::read::paging::{Cursor, direction};
use crate::read::question::QueryError;
use crate::read::search::{Searched, is_said};

/// The rows of a filter, and the conditions that are checked on them.
pub(crate) struct Search<'s, 'c> {
    pub(crate) asked: &'s mut Asked<'c>,
    pub(crate) filter: &'s Filter,
    pub(crate) residue: &'s Residue,
    pub(crate) order: Order,
}

impl Searched for Search<'_, '_> {
    type Place = Key;

    fn candidates(&mut self, cursor: Cursor<Key>, limit: u32) -> Result<Vec<Key>, QueryError> {
        places(self.asked, self.filter, cursor, limit)
    }

    fn hits(&mut self, candidates: &[Key]) -> Result<Vec<Key>, QueryError> {
        self.asked.deadline.check()?;
        Ok(self
            .residue
            .hits(self.asked.connection, candidates, self.order)?)
    }

    fn ended_at(&mut self, key: Key) -> Result<Option<Timestamp>, QueryError> {
        Ok(Some(Timestamp::from_micros(key.ended_us)))
    }
}

/// The conditions of a filter that no index serves.
pub(crate) struct Residue {
    /// The question, up to the order.
    hits: String,
    error_text: Option<String>,
    line_text: Option<String>,
}

#[derive(QueryableByName)]
struct Hit {
    #[diesel(embed)]
    key: Key,
    #[diesel(sql_type = Nullable<Text>)]
    body: Option<String>,
}

impl Residue {
    pub(crate) fn of(filter: &Filter) -> Option<Self> {
        let mut conditions = Vec::new();
        let of_one = |kind| matches!(&filter.scope, Scope::Registration(id) if id.kind == kind);
        if let Some(kind) = filter.kind.filter(|kind| !of_one(*kind)) {
            conditions.push(format!("e.kind = {}", code_of(kind)));
        }
        if let Some(tier) = filter.source_tier {
            let framework = flag::FRAMEWORK;
            let wanted = match tier {
                SourceTier::App => 0,
                SourceTier::Framework => framework,
            };
            conditions.push(format!("e.flags & {framework} = {wanted}"));
        }
        if let Some(least) = filter.min_duration {
            conditions.push(format!("e.duration_us >= {}", micros(least)));
        }
        // As in SQLite, only ASCII letters have a lower case.
        let has = |column, place| format!("strpos(lower({column} COLLATE \"C\"), ${place}) > 0");
        if filter.error_text.is_some() {
            let (in_type, in_message) = (has("e.error_type", 5), has("e.error_message", 5));
            conditions.push(format!("({in_type} OR {in_message})"));
        }
        let (mut join, mut body) = ("", "NULL::text");
        if filter.line_text.is_some() {
            join = "JOIN executor.execution_lines l ON l.ended_us = e.ended_us AND l.execution_id = e.execution_id \
                    AND l.ended_us BETWEEN $3 AND $4 ";
            conditions.push(has("l.body", 6));
            body = "l.body";
        }
        if conditions.is_empty() {
            return None;
        }
        let conditions = conditions.join(" AND ");
        let lower = |text_of: &Option<String>| {
            let lower = text_of.as_deref().map(str::to_ascii_lowercase);
            lower.map(|it| text(&it).into_owned())
        };
        Some(Self {
            // All parameters are always bound.
            hits: format!(
                "SELECT e.ended_us, e.execution_id, {body} AS body FROM unnest($1, $2) AS k(ended_us, execution_id) \
                 JOIN executor.executions e ON e.ended_us = k.ended_us AND e.execution_id = k.execution_id {join}\
                 WHERE e.ended_us BETWEEN $3 AND $4 AND ($5::text IS NULL OR true) AND ($6::text IS NULL OR true) \
                 AND {conditions}"
            ),
            error_text: lower(&filter.error_text),
            line_text: lower(&filter.line_text),
        })
    }

    fn hits(
        &self,
        connection: &mut PgConnection,
        candidates: &[Key],
        order: Order,
    ) -> QueryResult<Vec<Key>> {
        let (keys, direction) = (Keys::of(candidates), direction(order));
        let question = format!(
            "{} ORDER BY e.ended_us {direction}, e.execution_id {direction}",
            self.hits
        );
        let found: Vec<Hit> = diesel::sql_query(question)
            .bind::<Array<BigInt>, _>(keys.ended_us)
            .bind::<Array<SqlUuid>, _>(keys.names)
            .bind::<BigInt, _>(keys.first)
            .bind::<BigInt, _>(keys.last)
            .bind::<Nullable<Text>, _>(self.error_text.as_deref())
            .bind::<Nullable<Text>, _>(self.line_text.as_deref())
            .load(connection)?;
        let is_said = |hit: &Hit| is_said(self.line_text.as_deref(), hit.body.as_deref());
        Ok(found
            .into_iter()
            .filter(is_said)
            .map(|hit| hit.key)
            .collect())
    }
}
