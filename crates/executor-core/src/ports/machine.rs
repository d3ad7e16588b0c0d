//! Where a machine keeps what belongs to a store without files here.

use std::env;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Returns this machine's directory for a store, below the state directory of the service or user, as systemd and the XDG
/// base directories define it: `STATE_DIRECTORY`, `XDG_STATE_HOME` or `~/.local/state`. It may not exist. `None` if
/// there is no state directory, or if the name, which identifies the store, is no file name.
///
/// ```
/// use executor_core::ports::state_directory_of;
///
/// let directory = state_directory_of("db.example.org-telemetry");
/// assert!(directory.is_none_or(|it| it.ends_with("command-executor/db.example.org-telemetry")));
/// assert_eq!(state_directory_of("../elsewhere"), None);
/// ```
pub fn state_directory_of(name: &str) -> Option<PathBuf> {
    find(name, |variable| {
        env::var_os(variable).filter(|value| !value.is_empty())
    })
}

fn find(name: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let state = state_directory(variable).filter(|_| is_file_name(name))?;
    Some(state.join("command-executor").join(name))
}

/// Any other name would share a directory with other stores, or lead out of the directory.
fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

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
