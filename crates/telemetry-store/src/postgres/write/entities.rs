//! The ids of listeners and jobs, which outlive their registrations.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, SmallInt, Text};
use executor_core::Entity;

use crate::codes::code_of;
use crate::postgres::open::Open;
use crate::postgres::sql::text;
use crate::postgres::transaction::{Connected, writing};

/// The keys of entities, column by column.
struct Keys<'e> {
    kinds: Vec<i16>,
    apps: Vec<std::borrow::Cow<'e, str>>,
    instances: Vec<i64>,
    names: Vec<std::borrow::Cow<'e, str>>,
    topics: Vec<std::borrow::Cow<'e, str>>,
}

impl<'e> Keys<'e> {
    fn of(entities: &[&'e Arc<Entity>]) -> Self {
        let all = entities.iter();
        Self {
            kinds: all.clone().map(|it| code_of(it.kind) as i16).collect(),
            apps: all.clone().map(|it| text(&it.app_key)).collect(),
            instances: all.clone().map(|it| i64::from(it.instance)).collect(),
            names: all.clone().map(|it| text(&it.name)).collect(),
            topics: all.map(|it| text(&it.topic)).collect(),
        }
    }
}

/// Binds the keys to `$1` to `$5`.
macro_rules! with_keys {
    ($question:expr, $keys:expr) => {
        diesel::sql_query($question)
            .bind::<Array<SmallInt>, _>(&$keys.kinds)
            .bind::<Array<Text>, _>(&$keys.apps)
            .bind::<Array<BigInt>, _>(&$keys.instances)
            .bind::<Array<Text>, _>(&$keys.names)
            .bind::<Array<Text>, _>(&$keys.topics)
    };
}

const INSERT: &str = "INSERT INTO executor.entities (kind, app_key, instance, name, topic) \
    SELECT DISTINCT g.kind, g.app_key, g.instance, g.name, g.topic \
    FROM unnest($1, $2, $3, $4, $5) AS g(kind, app_key, instance, name, topic) \
    WHERE NOT EXISTS (SELECT FROM executor.entities n \
      WHERE executor.entity_digest(n.kind, n.app_key, n.instance, n.name, n.topic) \
          = executor.entity_digest(g.kind, g.app_key, g.instance, g.name, g.topic)) \
    ORDER BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING";

const FIND: &str = "SELECT g.place, n.id \
    FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS g(kind, app_key, instance, name, topic, place) \
    JOIN executor.entities n ON executor.entity_digest(n.kind, n.app_key, n.instance, n.name, n.topic) \
      = executor.entity_digest(g.kind, g.app_key, g.instance, g.name, g.topic)";

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Returns the ids of entities, in their order, and gives ids to those that have none. This commits by itself: an id
/// that is remembered must not go with a transaction that fails.
pub(crate) fn ids_of<'e>(
    open: &mut Open,
    entities: impl Iterator<Item = &'e Arc<Entity>> + Clone,
) -> QueryResult<Vec<i64>> {
    let missing = entities
        .clone()
        .filter(|it| !open.entities.contains_key(*it));
    let missing: Vec<&Arc<Entity>> = missing.collect();
    if !missing.is_empty() {
        let keys = Keys::of(&missing);
        writing(open, |open| {
            with_keys!(INSERT, keys).execute(open.connection())
        })?;
        let named: Vec<Named> = with_keys!(FIND, keys).load(open.connection())?;
        for named in named {
            let entity = missing[named.place as usize - 1];
            open.entities.insert(Arc::clone(entity), named.id);
        }
    }
    let id = |entity: &Arc<Entity>| open.entities.get(entity).copied();
    let ids: Option<Vec<i64>> = entities.map(id).collect();
    // Only somebody who deletes rows by hand can bring this about.
    ids.ok_or(diesel::result::Error::NotFound)
}
