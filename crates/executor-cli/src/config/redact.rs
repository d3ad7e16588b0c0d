//! What must not be kept of what programs say and events carry.

use std::borrow::Cow;

use command_executor::Redact;
use command_executor::redact::TextKind;
use regex::{Captures, Regex};
use serde::Deserialize;

/// What stands for what was taken out.
const STANDS_FOR_IT: &str = "***";

/// Known secrets. Of a pattern with a group only the group is taken out.
const BUILT_IN: [&str; 6] = [
    // What follows `Authorization:` or stands alone.
    r"(?i)\bbearer\s+([A-Za-z0-9._~+/=-]{8,})",
    r"(?i)\bbasic\s+([A-Za-z0-9+/=]{8,})",
    // In command lines, queries and JSON.
    r#"(?i)\b(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key)["']?\s*[=:]\s*["']?([^\s"'&,;]+)"#,
    // `user:password@` in an address.
    r"\b[A-Za-z][A-Za-z0-9+.-]*://([^\s/@]+)@",
    // Keys, as far as they are there.
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    r"(?s)\A.*-----END [A-Z ]*PRIVATE KEY-----",
];

/// A line in the middle of a key, which comes alone: nothing but base 64, too long for a word.
const LINE_OF_KEY: &str = r"\A\s*[A-Za-z0-9+/]{40,}={0,2}\s*\z";

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

/// The match without its first group, or nothing of it.
fn taken_out(found: &Captures<'_>) -> String {
    let whole = found.get(0).expect("it is the match");
    let Some(group) = found.get(1) else {
        return STANDS_FOR_IT.to_owned();
    };
    let (begin, end) = (group.start() - whole.start(), group.end() - whole.start());
    let text = whole.as_str();
    format!("{}{STANDS_FOR_IT}{}", &text[..begin], &text[end..])
}

#[cfg(test)]
mod tests;
