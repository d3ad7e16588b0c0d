//! What is counted: a listener or job, whether or not it is registered.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// What identifies a listener or job: kind, app, instance, name, topic (empty for a job).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, QueryableByName)]
pub(crate) struct EntityKey {
    #[diesel(sql_type = BigInt)]
    pub(crate) kind: i64,
    #[diesel(sql_type = Text)]
    pub(crate) app_key: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) instance: i64,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) topic: String,
}

impl EntityKey {
    /// The key for a row that does not say what it belongs to. No store writes such rows.
    pub(crate) fn nobody(kind: i64) -> Self {
        Self {
            kind,
            app_key: "?".into(),
            instance: 0,
            name: "?".into(),
            topic: String::new(),
        }
    }
}
