//! The addresses of databases: as people write them, and as SQLite takes them.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An address that does not name a SQLite database.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot use `{url}` as a database: {why}")]
#[non_exhaustive]
pub struct Unaddressable {
    /// The address.
    pub url: String,
    /// The mistake, and how to correct it.
    pub why: &'static str,
}

/// The suffixes of files that SQLite keeps beside a database.
pub(crate) const SUFFIXES: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Memory,
    File(PathBuf),
}

impl Target {
    /// Parses a path, `sqlite:PATH`, `sqlite://PATH`, `file:PATH`, `file:///PATH` and `:memory:`. A path
    /// is taken literally. SQLite reads escapes and parameters in an address that begins with `file:`, so
    /// they are refused there rather than taken as part of the name.
    pub(crate) fn parse(url: &str) -> Result<Self, Unaddressable> {
        let refuse = |why| Unaddressable {
            url: url.to_owned(),
            why,
        };
        let path = url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"))
            .unwrap_or(url);
        let path = match path.strip_prefix("file:") {
            None => path,
            Some(name) if name.contains(['?', '#', '%']) => {
                return Err(refuse(
                    "escapes and parameters in a file: address are not understood; give a plain path",
                ));
            }
            Some(name) => match name.strip_prefix("//") {
                Some(absolute) if absolute.starts_with('/') => absolute,
                Some(_) => return Err(refuse("file:// names a machine; give file:/// and a path")),
                None => name,
            },
        };
        match path {
            "" => Err(refuse("it names no file; give a path such as telemetry.db")),
            ":memory:" => Ok(Self::Memory),
            _ if path.ends_with('/') => Err(refuse(
                "it names a directory; give the path of a file in it such as telemetry.db",
            )),
            _ if path.starts_with("postgres") && path.contains("://") => Err(refuse(
                "this build records into SQLite only; give a path such as telemetry.db",
            )),
            _ if path.contains("://") => Err(refuse(
                "only sqlite: is known; give a path such as telemetry.db",
            )),
            _ => Ok(Self::File(PathBuf::from(path))),
        }
    }

    /// Returns the same file under a path that neither links nor a change of directory can redirect.
    /// Call it once the file exists.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::File(path) => Self::File(fs::canonicalize(&path).unwrap_or(path)),
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory => None,
            Self::File(path) => Some(path),
        }
    }
}

/// A file whose name begins with the database's.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns the path as a SQLite URI, with special characters escaped.
pub(crate) fn uri(path: &Path, query: &str) -> Result<String, Unaddressable> {
    let text = path.to_str().ok_or_else(|| Unaddressable {
        url: path.display().to_string(),
        why: "the path is not valid UTF-8",
    })?;
    let escaped = text
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    // An absolute path would otherwise be read as `file://authority/…` where it begins with `//`.
    let root = if text.starts_with('/') { "//" } else { "" };
    Ok(format!("file:{root}{escaped}?{query}"))
}

#[cfg(test)]
mod tests;
