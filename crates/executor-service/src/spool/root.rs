//! Decides where on this machine a service keeps its spool.

use std::path::PathBuf;

use executor_core::ports::{SpoolHome, state_directory_of};

use crate::config::SpoolPlace;

/// A directory of spools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpoolRoot {
    /// Records wait in memory, as configured, or because the store itself is in memory.
    InMemory,
    At {
        root: PathBuf,
        /// True if it holds nothing else; it is then removed with the last spool in it.
        is_own: bool,
    },
    /// Records should survive the process, but this machine has no place for them.
    Nowhere,
}

impl SpoolRoot {
    pub(crate) fn of(place: &SpoolPlace, home: SpoolHome) -> Self {
        find(place, home, state_directory_of)
    }

    pub(crate) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::At { root, .. } => Some(root),
            Self::InMemory | Self::Nowhere => None,
        }
    }
}

fn find(
    place: &SpoolPlace,
    home: SpoolHome,
    of_machine: impl Fn(&str) -> Option<PathBuf>,
) -> SpoolRoot {
    let at = |root, is_own| SpoolRoot::At { root, is_own };
    match (place, home) {
        (SpoolPlace::Memory, _) | (SpoolPlace::Beside, SpoolHome::InMemory) => SpoolRoot::InMemory,
        (SpoolPlace::At(root), _) => at(root.clone(), false),
        (SpoolPlace::Beside, SpoolHome::Beside(root)) => at(root, true),
        (SpoolPlace::Beside, SpoolHome::OfMachine { name }) => match of_machine(&name) {
            Some(root) => at(root, true),
            None => SpoolRoot::Nowhere,
        },
        // A kind of home that this version does not know.
        (SpoolPlace::Beside, _) => SpoolRoot::Nowhere,
    }
}

#[cfg(test)]
mod tests;
