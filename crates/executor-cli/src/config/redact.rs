//! What must not be kept of what programs say and events carry.

use std::borrow::Cow;
use std::sync::Arc;

use command_executor::Redact;
use command_executor::redact::{Redactor, TextKind};
use regex::{Captures, Regex};
use serde::Deserialize;

/// What stands for what was taken out.
const STANDS_FOR_IT: &str = "***";

/// Known secrets. Of a pattern with a group only the group is taken out.
const BUILT_IN: [&str; 7] = [
    // What follows a header's name, and what looks like a token after its kind.
    r#"(?i)authorization["']?\s*[=:]\s*["']?(?:[a-z]+\s+)?([^\s"',;]+)"#,
    r"(?-u:\b)[Bb](?:earer|EARER|asic|ASIC)\s+([A-Za-z0-9._~+/=-]*[A-Z0-9][A-Za-z0-9._~+/=-]{7,})",
    // In command lines, variables, queries and JSON. What is quoted goes as a whole.
    r#"(?i)[a-z0-9_-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)[a-z0-9_-]*["']?(?:=|\s*:\s*|\s+=\s+)(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"'&,;}\])]+))"#,
    // `user:password@` in an address, however many `@` are in it.
    r"(?-u:\b)[A-Za-z][A-Za-z0-9+.-]*://([^\s/?#]+)@",
    // Keys, as far as they are there.
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    r"(?s)\A.*-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----",
    r"(?-u:\b)(?:ghp|gho|ghs|github_pat|glpat|xox[abp])[_-][A-Za-z0-9_-]{10,}",
];

/// A line in the middle of a key, which comes alone: nothing but base 64, too long for a word. Paths have a slash in front.
const LINE_OF_KEY: &str = r"\A\s*[A-Za-z0-9+][A-Za-z0-9+/]{39,}={0,2}\s*\z";

/// The table `[redact]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RedactConfig {
    /// Whether known secrets are taken out.
    built_in: bool,
    /// What else is.
    patterns: Vec<Pattern>,
}

impl Default for RedactConfig {
    fn default() -> Self {
        Self {
            built_in: true,
            patterns: Vec::new(),
        }
    }
}

/// A regular expression.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let pattern = Regex::new(&text).map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            format!(
                "not a regular expression: {}",
                last.trim_start_matches("error: ")
            )
        })?;
        match pattern.is_match("") {
            true => Err("this also matches nothing: write what must be there".into()),
            false => Ok(Self(pattern)),
        }
    }
}

impl RedactConfig {
    /// Returns the same for what is logged here.
    pub(crate) fn redactor(&self) -> Redactor {
        self.secrets()
            .map_or(Redactor::NONE, |secrets| Redactor::new(Arc::new(secrets)))
    }
}

/// Takes secrets out of texts before they are kept.
pub(crate) struct Secrets {
    patterns: Vec<Regex>,
    line_of_key: Option<Regex>,
}

impl RedactConfig {
    /// Returns the hook; `None` if nothing is to be taken out.
    pub(crate) fn secrets(&self) -> Option<Secrets> {
        let compiled = |pattern| Regex::new(pattern).expect("it is tested");
        let built_in = BUILT_IN.into_iter().filter(|_| self.built_in);
        let own = self.patterns.iter().map(|Pattern(pattern)| pattern.clone());
        let patterns: Vec<Regex> = built_in.map(compiled).chain(own).collect();
        (!patterns.is_empty()).then(|| Secrets {
            patterns,
            line_of_key: self.built_in.then(|| compiled(LINE_OF_KEY)),
        })
    }
}

impl Redact for Secrets {
    fn redact<'t>(&self, kind: TextKind, text: &'t str) -> Cow<'t, str> {
        let is_line = matches!(kind, TextKind::Line | TextKind::EventLine);
        if is_line
            && self
                .line_of_key
                .as_ref()
                .is_some_and(|it| is_of_key(it, text))
        {
            return STANDS_FOR_IT.into();
        }
        let mut kept = Cow::Borrowed(text);
        for pattern in &self.patterns {
            // Only what changes is copied.
            let without = pattern.replace_all(&kept, taken_out);
            if let Cow::Owned(without) = without {
                kept = Cow::Owned(without);
            }
        }
        kept
    }
}

/// Checksums are of one case.
fn is_of_key(line_of_key: &Regex, text: &str) -> bool {
    let has = |is: fn(&char) -> bool| text.chars().any(|c| is(&c));
    line_of_key.is_match(text) && has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase)
}

/// The match without the group in it, or nothing of it.
fn taken_out(found: &Captures<'_>) -> String {
    let whole = found.get(0).expect("it is the match");
    let Some(group) = found.iter().skip(1).flatten().next() else {
        return STANDS_FOR_IT.to_owned();
    };
    let (begin, end) = (group.start() - whole.start(), group.end() - whole.start());
    let text = whole.as_str();
    format!("{}{STANDS_FOR_IT}{}", &text[..begin], &text[end..])
}

#[cfg(test)]
mod tests;
