//! Finds out how much of what executions said is too much.

use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use executor_core::ports::{LinesBound, LinesBudget, Order};
use executor_core::{EntityKind, RegistrationId, RowId, Timestamp};
use uuid::Uuid;

use crate::codes::kind_of;
use crate::postgres::key::Key;
use crate::postgres::open::Open;
use crate::postgres::read::spans::Days;
use crate::postgres::transaction::{Connected, writing};

/// Rows whose sizes are read in one go.
const SIZES_AT_ONCE: i64 = 1_000;

/// Adds up sizes, from the latest row backwards.
pub(crate) struct LineSizes {
    budget: LinesBudget,
    before: Key,
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(embed)]
    key: Key,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    registration: Option<i64>,
}

impl Size {
    fn registration(&self) -> Option<RegistrationId> {
        let row = RowId::new(self.registration?);
        Some(match kind_of(self.kind)? {
            EntityKind::Listener => RegistrationId::listener(row),
            EntityKind::Job => RegistrationId::job(row),
        })
    }
}

impl LineSizes {
    pub(crate) fn new(now: Timestamp, all: u64, of_one: u64) -> Self {
        Self {
            budget: LinesBudget::new(all, of_one),
            before: Key {
                ended_us: now.as_micros().saturating_add(1),
                execution_id: Uuid::nil(),
            },
        }
    }

    /// Reads the next sizes, of few days at a time. Returns whether there may be more.
    pub(crate) fn go_on(&mut self, open: &mut Open) -> QueryResult<bool> {
        let days = Days::read(open.connection(), "execution_lines")?;
        let rest = i64::MIN..self.before.ended_us.saturating_add(1);
        for span in days.spans(&rest, Order::LatestFirst) {
            let sizes = self.sizes(open, &span)?;
            for size in &sizes {
                let at = Timestamp::from_micros(size.key.ended_us);
                let bytes = size.bytes.unsigned_abs();
                if !self.budget.add(at, size.registration(), bytes) {
                    return Ok(false);
                }
                self.before = size.key;
            }
            if !sizes.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sizes(&self, open: &mut Open, span: &Range<i64>) -> QueryResult<Vec<Size>> {
        // `octet_length` does not read the text itself.
        let question = "SELECT l.ended_us, l.execution_id, octet_length(l.body)::bigint AS bytes, n.kind::bigint AS kind, \
                        coalesce(r.id, j.id) AS registration FROM executor.execution_lines l \
                        JOIN executor.entities n ON n.id = l.entity_id \
                        LEFT JOIN executor.listeners r ON r.id = l.entity_id \
                        LEFT JOIN executor.scheduled_jobs j ON j.id = l.entity_id \
                        WHERE l.ended_us >= $1 AND l.ended_us < $2 AND (l.ended_us, l.execution_id) < ($3, $4) \
                        ORDER BY l.ended_us DESC, l.execution_id DESC LIMIT $5";
        let before = self.before;
        writing(open, |open| {
            diesel::sql_query(question)
                .bind::<BigInt, _>(span.start)
                .bind::<BigInt, _>(span.end)
                .bind::<BigInt, _>(before.ended_us)
                .bind::<SqlUuid, _>(before.execution_id)
                .bind::<BigInt, _>(SIZES_AT_ONCE)
                .load(open.connection())
        })
    }

    pub(crate) fn bounds(self) -> Vec<LinesBound> {
        self.budget.bounds()
    }
}
