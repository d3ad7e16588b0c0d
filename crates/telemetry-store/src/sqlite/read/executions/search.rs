//! Checks conditions without an index, slice by slice.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Filter, Order, Scope};
use executor_core::time::micros;
use executor_core::{SourceTier, Timestamp};

use crate::codes::{code_of, flag};
use crate::read::paging::{Cursor, direction};
use crate::read::question::QueryError;
use crate::read::search::{Searched, is_said};
use crate::sqlite::classify::is_damage;
use crate::sqlite::read::asked::Asked;
use crate::sqlite::read::executions::ids::ids;
use crate::sqlite::read::stored::{ROWS_AT_ONCE, by_row, listed};

/// The rows of a filter, and the conditions that are checked on them.
pub(crate) struct Search<'s, 'c> {
    pub(crate) asked: &'s mut Asked<'c>,
    pub(crate) filter: &'s Filter,
    pub(crate) residue: &'s Residue,
    pub(crate) order: Order,
}

impl Searched for Search<'_, '_> {
    type Place = i64;

    fn candidates(&mut self, cursor: Cursor, limit: u32) -> Result<Vec<i64>, QueryError> {
        ids(self.asked, self.filter, cursor, limit)
    }

    fn hits(&mut self, candidates: &[i64]) -> Result<Vec<i64>, QueryError> {
        self.residue
            .hits(self.asked, candidates, ROWS_AT_ONCE, self.order)
    }

    fn ended_at(&mut self, id: i64) -> Result<Option<Timestamp>, QueryError> {
        let row = by_row(self.asked.connection, id);
        let row = self.asked.left_out.readable(row)?.flatten();
        Ok(row.map(|row| row.record.ended_at()))
    }
}

/// The conditions of a filter that no index serves.
pub(crate) struct Residue {
    /// The question, up to the ids.
    hits: String,
    error_text: Option<String>,
    line_text: Option<String>,
}

#[derive(QueryableByName)]
struct Hit {
    #[diesel(sql_type = BigInt)]
    id: i64,
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
        let texts = [&filter.error_text, &filter.line_text];
        if conditions.is_empty() && texts.iter().all(|text| text.is_none()) {
            return None;
        }
        // SQLite's `lower` also changes only ASCII letters.
        let has = |column| format!("instr(lower(x.{column}), ?1) > 0");
        let (in_type, in_message) = (has("error_type"), has("error_message"));
        let mut joins = String::new();
        // What is not asked for is not read, and may be damaged.
        if filter.error_text.is_some() {
            joins.push_str("LEFT JOIN execution_errors x ON x.id = e.id ");
            conditions.push(format!("({in_type} OR {in_message})"));
        }
        let mut body = "NULL";
        if filter.line_text.is_some() {
            joins.push_str("LEFT JOIN execution_lines l ON l.id = e.id ");
            conditions.push("instr(lower(l.body), ?2) > 0".into());
            body = "l.body";
        }
        let conditions = conditions.join(" AND ");
        Some(Self {
            // Both parameters are always bound.
            hits: format!(
                "SELECT e.id, {body} AS body, ?1, ?2 FROM executions e {joins}WHERE {conditions} AND e.id"
            ),
            error_text: filter.error_text.as_deref().map(str::to_ascii_lowercase),
            line_text: filter.line_text.as_deref().map(str::to_ascii_lowercase),
        })
    }

    /// Those of these ids that fit, as far as can be told. Where a page is damaged, each id is queried separately.
    fn hits(
        &self,
        asked: &mut Asked<'_>,
        candidates: &[i64],
        at_once: usize,
        order: Order,
    ) -> Result<Vec<i64>, QueryError> {
        let mut hits = Vec::new();
        for ids in candidates.chunks(at_once) {
            match (self.hits_of(asked.connection, ids, order), ids) {
                (Err(error), [id]) if is_damage(&error) => {
                    let what = format!("row {id} of executions cannot be searched");
                    asked.left_out.note(what);
                }
                (Err(error), _) if is_damage(&error) => {
                    hits.extend(self.hits(asked, ids, 1, order)?);
                }
                (found, _) => hits.extend(found?),
            }
        }
        Ok(hits)
    }

    fn hits_of(
        &self,
        connection: &mut SqliteConnection,
        ids: &[i64],
        order: Order,
    ) -> QueryResult<Vec<i64>> {
        let question = format!(
            "{} IN ({}) ORDER BY e.id {}",
            self.hits,
            listed(ids),
            direction(order)
        );
        let found: Vec<Hit> = diesel::sql_query(question)
            .bind::<Nullable<Text>, _>(self.error_text.as_deref())
            .bind::<Nullable<Text>, _>(self.line_text.as_deref())
            .load(connection)?;
        let is_said = |hit: &Hit| is_said(self.line_text.as_deref(), hit.body.as_deref());
        let found = found.into_iter().filter(is_said);
        Ok(found.map(|found| found.id).collect())
    }
}
