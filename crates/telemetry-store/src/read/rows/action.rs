//! Rows of what people asked for, and what they say.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use executor_core::Timestamp;
use executor_core::ports::RecordedAction;

use crate::read::question::QueryError;
use crate::read::rows::schedule::session_of;

#[derive(QueryableByName)]
pub(crate) struct ActionRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    session_uuid: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    at_us: i64,
    #[diesel(sql_type = Text)]
    who: String,
    #[diesel(sql_type = Text)]
    origin: String,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    target: String,
    #[diesel(sql_type = Text)]
    outcome: String,
}

impl ActionRow {
    pub(crate) fn into_action(self) -> Result<RecordedAction, QueryError> {
        Ok(RecordedAction {
            session: session_of(self.session_uuid.as_deref())?,
            at: Timestamp::from_micros(self.at_us),
            who: self.who,
            origin: self.origin,
            action: self.action,
            target: self.target,
            outcome: self.outcome,
        })
    }
}
