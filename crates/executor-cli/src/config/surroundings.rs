//! What a program is given besides its arguments, and what is kept of what it says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use command_executor::Orphans;
use command_executor::lines::LinePolicy;
use serde::Deserialize;

/// Variables of this process that are nothing for its programs: where the history is, what lets people into the
/// dashboard, and its service manager.
pub(crate) const NOT_FOR_PROGRAMS: [&str; 6] = [
    "EXECUTOR_DB",
    "EXECUTOR_TOKEN",
    "EXECUTOR_CONFIG",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Variables that are added to a program's environment.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub(crate) struct Environment(pub(crate) BTreeMap<String, String>);

impl TryFrom<BTreeMap<String, String>> for Environment {
    type Error = String;

    fn try_from(variables: BTreeMap<String, String>) -> Result<Self, String> {
        for (name, value) in &variables {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!(
                    "`{name}` is not a valid variable name: it must have a character, and neither `=` nor NUL"
                ));
            }
            if value.contains('\0') {
                return Err(format!(
                    "the value of `{name}` contains a NUL character: remove it"
                ));
            }
        }
        Ok(Self(variables))
    }
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The directory that a program runs in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Directory(pub(crate) PathBuf);

impl TryFrom<String> for Directory {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.is_empty() || text.contains('\0') {
            return Err("this is not a directory: write its path, such as \"/srv/backup\"");
        }
        Ok(Self(text.into()))
    }
}

/// The path of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct FilePath(pub(crate) PathBuf);

impl TryFrom<String> for FilePath {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.is_empty() || text.contains('\0') {
            true => Err("this is not a path: write one, such as \"/var/log/events.ndjson\""),
            false => Ok(Self(text.into())),
        }
    }
}

/// What becomes of its programs that outlive a killed process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct OrphanRule(pub(crate) Orphans);

impl TryFrom<String> for OrphanRule {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "leave" => Ok(Self(Orphans::Leave)),
            "end" => Ok(Self(Orphans::End)),
            _ => Err(format!(
                "`{word}` is not a rule for programs that outlive a killed process: write leave or end"
            )),
        }
    }
}

/// Which executions keep what they said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LineRule(pub(crate) LinePolicy);

impl TryFrom<String> for LineRule {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let found = LinePolicy::ALL
            .into_iter()
            .find(|rule| rule.as_str() == word);
        found.map(Self).ok_or_else(|| {
            format!("`{word}` is not a policy for lines: write none, failures, tail or all")
        })
    }
}
