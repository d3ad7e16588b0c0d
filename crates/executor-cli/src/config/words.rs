//! Names and programs in a configuration.

use serde::Deserialize;

/// Text with something in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Word(pub(crate) String);

impl TryFrom<String> for Word {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.trim().is_empty() {
            Err("this is empty: write a name, which identifies the entry in the history")
        } else if text.contains('\0') {
            Err("this contains a NUL character: remove it")
        } else {
            Ok(Self(text))
        }
    }
}

/// A program with its arguments, or a built-in one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) enum Run {
    /// `["program", "argument", ..]`
    Program(Vec<String>),
    /// `["@noop"]`: does nothing, in this process.
    Noop,
    /// `["@panic"]`: panics, in this process, to see that a panic goes no further.
    Panic,
}

impl TryFrom<Vec<String>> for Run {
    type Error = String;

    fn try_from(argv: Vec<String>) -> Result<Self, String> {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        match words[..] {
            [] | ["", ..] => {
                Err("`run` names no program: write [\"program\", \"argument\"]".into())
            }
            ["@noop"] => Ok(Self::Noop),
            ["@panic"] => Ok(Self::Panic),
            [name, ..] if name.starts_with('@') => Err(format!(
                "`{name}` is not a built-in program: write [\"@noop\"] or [\"@panic\"], without arguments"
            )),
            _ if argv.iter().any(|word| word.contains('\0')) => {
                Err("an argument contains a NUL character: remove it".into())
            }
            _ => Ok(Self::Program(argv)),
        }
    }
}
