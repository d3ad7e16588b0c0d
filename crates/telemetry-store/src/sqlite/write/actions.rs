//! What people asked for.

use diesel::prelude::*;
use executor_core::ports::RecordedAction;

use crate::sqlite::schema::actions;
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::session;

/// Writes an action, unless it was written before.
pub(crate) fn record(
    connection: &mut SqliteConnection,
    action: &RecordedAction,
) -> QueryResult<()> {
    immediate(connection, |connection| {
        let session = action.session.map(|id| session::row_of(connection, id));
        let session = session.transpose()?.flatten();
        let known = actions::table
            .filter(actions::session_id.is(session))
            .filter(actions::at_us.eq(action.at.as_micros()))
            .filter(actions::action.eq(&action.action))
            .filter(actions::target.eq(&action.target));
        let known: i64 = known.count().get_result(connection)?;
        if known == 0 {
            diesel::insert_into(actions::table)
                .values((
                    actions::session_id.eq(session),
                    actions::at_us.eq(action.at.as_micros()),
                    actions::who.eq(&action.who),
                    actions::origin.eq(&action.origin),
                    actions::action.eq(&action.action),
                    actions::target.eq(&action.target),
                    actions::outcome.eq(&action.outcome),
                ))
                .execute(connection)?;
        }
        Ok(())
    })
}
