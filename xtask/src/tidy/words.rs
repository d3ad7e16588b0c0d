//! Rejects words that this project used before it took the field's own. Words with no other meaning may not come back
//! as identifiers at all, and common words not as names of types and files.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::Broken;
use super::files::sources;
use crate::shell::root;

/// The words that may not be identifiers, and their replacements.
const WORDS: [(&str, &str); 20] = [
    ("Parcel", "Lease"),
    ("parcel", "lease"),
    ("Sheet", "Encoder"),
    ("Voice", "RunLog"),
    ("Trouble", "error_handler"),
    ("Vitals", "HealthState"),
    ("vitals", "health"),
    ("Leftover", "Abandoned"),
    ("Watchman", "LossReporter"),
    ("watchman", "loss_reporter"),
    ("Anchor", "FileIdentity"),
    ("NoLog", "WalGone"),
    ("Adrift", "Replaced"),
    ("Keeper", "Heartbeat, Maintenance"),
    ("Errands", "Deferred"),
    ("Desk", "HandlerQueue"),
    ("HookThere", "HookAlreadySet"),
    ("Conduct", "Hooks"),
    ("Marks", "RecordFlags"),
    ("Whose", "Scope"),
];

/// The words that may not be names of types, and their replacements.
const NAMES: [(&str, &str); 14] = [
    ("Load", "LeasedBatch"),
    ("Held", "LeaseState"),
    ("Live", "HandlerSlot"),
    ("Left", "AbandonedSession"),
    ("Hold", "FileState"),
    ("Page", "Counters, PageRequest"),
    ("Ring", "Segments"),
    ("Home", "ConnectionSpec"),
    ("Share", "SharedWriter"),
    ("Figures", "Stats"),
    ("Standing", "RegistrationState"),
    ("Found", "PageOf"),
    ("Listed", "PageOf"),
    ("Told", "HandlerEnd, CompletionEvent"),
];

/// The words that may not be names of files, without their extension.
const FILES: [&str; 14] = [
    "parcel", "sheet", "voice", "trouble", "live", "vitals", "leftover", "watchman", "anchor",
    "keeper", "ring", "moving", "look", "sharing",
];

const DEFINERS: [&str; 4] = ["struct", "enum", "trait", "type"];

pub(super) fn check() -> anyhow::Result<Broken> {
    let mut broken = Broken::new();
    for path in sources()? {
        let shown = path
            .strip_prefix(root())
            .unwrap_or(&path)
            .display()
            .to_string();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if stem.is_some_and(|stem| FILES.contains(&stem)) {
            broken.push(format!(
                "{shown}: this file name is no longer in use; choose another"
            ));
        }
        if is_this_file(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| shown.clone())?;
        broken.extend(
            check_text(&text)
                .into_iter()
                .map(|what| format!("{shown}: {what}")),
        );
    }
    Ok(broken)
}

fn is_this_file(path: &Path) -> bool {
    path.ends_with("tidy/words.rs") || path.ends_with("tidy/words/tests.rs")
}

fn check_text(text: &str) -> Broken {
    let mut broken = Broken::new();
    for line in text.lines() {
        let words = words_of(line);
        for (place, word) in words.iter().enumerate() {
            let is_defined = place > 0 && DEFINERS.contains(&words[place - 1]);
            let old = |known: &[(&str, &str)]| {
                let found = known.iter().find(|(old, _)| old == word);
                found.map(|(old, new)| format!("`{old}` is called {new} now"))
            };
            broken.extend(old(&WORDS));
            broken.extend(old(&NAMES).filter(|_| is_defined));
        }
    }
    broken
}

/// Returns the words of a line's code, outside comments and strings.
fn words_of(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or(line);
    let outside = code.split('"').step_by(2);
    let is_of_a_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    outside
        .flat_map(|part| part.split(move |letter| !is_of_a_word(letter)))
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
