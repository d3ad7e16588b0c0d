//! Decides where on this machine a service keeps its spool.

use std::env;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use executor_core::ports::SpoolHome;

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
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        find(place, home, variable)
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
    variable: impl Fn(&str) -> Option<OsString>,
) -> SpoolRoot {
    let at = |root, is_own| SpoolRoot::At { root, is_own };
    match (place, home) {
        (SpoolPlace::Memory, _) | (SpoolPlace::Beside, SpoolHome::InMemory) => SpoolRoot::InMemory,
        (SpoolPlace::At(root), _) => at(root.clone(), false),
        (SpoolPlace::Beside, SpoolHome::Beside(root)) => at(root, true),
        (SpoolPlace::Beside, SpoolHome::OfMachine { name }) => match state_directory(variable) {
            Some(state) if is_file_name(&name) => {
                at(state.join("command-executor").join(name), true)
            }
            _ => SpoolRoot::Nowhere,
        },
        // A kind of home that this version does not know.
        (SpoolPlace::Beside, _) => SpoolRoot::Nowhere,
    }
}

/// Any other name would share a spool with other stores, or lead out of the directory.
fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// The directory for state of this service or user, as systemd and the XDG base directories define it.
fn state_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    // systemd separates several with colons; the first is as good as any.
    let of_unit = variable("STATE_DIRECTORY").and_then(|all| env::split_paths(&all).next());
    let of_user = || variable("XDG_STATE_HOME").and_then(absolute);
    let of_home = || {
        variable("HOME")
            .and_then(absolute)
            .map(|home| home.join(".local/state"))
    };
    of_unit
        .filter(|path| path.is_absolute())
        .or_else(of_user)
        .or_else(of_home)
}

#[cfg(test)]
mod tests;
