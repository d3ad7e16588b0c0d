//! Failures of one kind, and where they happened.

use std::collections::HashMap;

use executor_core::ports::StoredSession;
use executor_core::{Entity, EntityKind};
use executor_service::diagnosis::ErrorGroup;
use serde::{Serialize, Serializer};

use crate::answer::Refused;
use crate::pages::asked::Asked;
use crate::pages::parts::{Moment, path_of, registrations};

/// Failures of one kind.
#[derive(Serialize)]
pub(crate) struct Failing {
    pub(crate) error_type: String,
    pub(crate) shape: String,
    pub(crate) count: u64,
    #[serde(rename = "first_us")]
    pub(crate) first: Moment,
    /// The version that the first of them is of.
    pub(crate) since_version: String,
    #[serde(rename = "last_us")]
    pub(crate) last: Moment,
    pub(crate) last_id: String,
    pub(crate) last_message: String,
    pub(crate) places: Vec<Place>,
}

impl Failing {
    pub(crate) fn of(group: &ErrorGroup, sessions: &[StoredSession], places: &Places) -> Self {
        let first = sessions
            .iter()
            .find(|it| it.session.id == group.first_session);
        let version = first.and_then(|it| it.session.version.clone());
        Self {
            since_version: version.unwrap_or_default(),
            error_type: group.error_type.clone(),
            shape: group.shape.clone(),
            count: group.count,
            first: Moment(group.first_at),
            last: Moment(group.last_at),
            last_id: group.last.to_string(),
            last_message: group.last_message.clone(),
            places: group
                .places
                .iter()
                .map(|(name, _)| places.of_name(name))
                .collect(),
        }
    }
}

/// A listener or job as a group names it: `app/name`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// Its page, if it is registered.
    pub(crate) path: Option<String>,
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// The pages of listeners and jobs.
pub(crate) struct Places(HashMap<Entity, String>);

/// Reads the pages of all that are registered.
pub(crate) async fn places(asked: &Asked) -> Result<Places, Refused> {
    let mut places = HashMap::new();
    for kind in EntityKind::ALL {
        for it in registrations(asked, kind).await? {
            places.insert(it.registration.entity.as_ref().clone(), path_of(it.id));
        }
    }
    Ok(Places(places))
}

impl Places {
    pub(crate) fn of_entity(&self, entity: &Entity) -> Option<String> {
        self.0.get(entity).cloned()
    }

    /// A group leaves out the instance, so this is the first of that name.
    fn of_name(&self, name: &str) -> Place {
        let is_it = |it: &&Entity| name.split_once('/') == Some((&it.app_key, &it.name));
        let first = self.0.keys().filter(is_it).min_by_key(|it| it.instance);
        Place {
            name: name.to_owned(),
            path: first.and_then(|it| self.of_entity(it)),
        }
    }
}
