//! Shows rows to the hook before they are deleted.

use diesel::QueryResult;
use executor_core::ports::Order;

use crate::hook::Hook;
use crate::postgres::key::Key;
use crate::postgres::open::Open;
use crate::postgres::read::stored::rows_of;
use crate::postgres::transaction::Connected;

pub(super) fn show(open: &mut Open, keys: &[Key], hook: &Hook) -> QueryResult<()> {
    let mut rows = Vec::with_capacity(keys.len());
    for row in rows_of(open.connection(), keys, Order::OldestFirst)? {
        match row.into_execution() {
            Ok(row) => rows.push(row),
            // A row that this program cannot read is deleted unseen.
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "pruned an unreadable row, hook not called");
            }
        }
    }
    hook(&rows);
    Ok(())
}
