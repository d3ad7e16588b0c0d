//! The key of an execution: when it ended, and its name.

use std::fmt;
use std::str::FromStr;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use uuid::Uuid;

/// What executions and their lines are found by, and ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, QueryableByName)]
pub(crate) struct Key {
    #[diesel(sql_type = BigInt)]
    pub(crate) ended_us: i64,
    #[diesel(sql_type = SqlUuid)]
    pub(crate) execution_id: Uuid,
}

impl Key {
    /// One before all others.
    pub(crate) const FIRST: Self = Self {
        ended_us: i64::MIN,
        execution_id: Uuid::nil(),
    };
}

/// As page tokens have it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ended_us, self.execution_id.simple())
    }
}

/// It is no key.
pub(crate) struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let (ended_us, name) = text.split_once('.').ok_or(NoKey)?;
        Ok(Self {
            ended_us: ended_us.parse().map_err(|_| NoKey)?,
            execution_id: Uuid::try_parse(name).map_err(|_| NoKey)?,
        })
    }
}

/// Keys as statements take them, and the first and last time among them: as values of their own these leave out days when
/// a statement is planned.
pub(crate) struct Keys {
    pub(crate) ended_us: Vec<i64>,
    pub(crate) names: Vec<Uuid>,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Keys {
    pub(crate) fn of(keys: &[Key]) -> Self {
        let ended_us: Vec<i64> = keys.iter().map(|key| key.ended_us).collect();
        Self {
            first: ended_us.iter().copied().min().unwrap_or(i64::MAX),
            last: ended_us.iter().copied().max().unwrap_or(i64::MIN),
            names: keys.iter().map(|key| key.execution_id).collect(),
            ended_us,
        }
    }
}
