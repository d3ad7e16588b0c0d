//! The characters that stand for runs where a drawing has one for each.

use command_executor::Status;

/// A run that is in progress.
pub(crate) const RUNNING: char = '>';

/// Records were lost.
pub(crate) const LOST: char = '░';

/// A run that was due did not happen.
pub(crate) const MISSED: char = '·';

/// An execution that ended like this.
pub(crate) const fn mark_of(status: Status) -> char {
    match status {
        Status::Success => '█',
        Status::Error => 'E',
        Status::TimedOut => 'T',
        Status::Cancelled => 'C',
        Status::Panicked => 'P',
        Status::Skipped => 's',
        Status::Interrupted => 'I',
    }
}

/// What the characters mean, of those that are there.
pub(crate) fn legend(seen: impl IntoIterator<Item = char>) -> String {
    let seen: Vec<char> = seen.into_iter().collect();
    let statuses = Status::ALL.map(|status| (mark_of(status), status.as_str()));
    let others = [
        (RUNNING, "running"),
        (LOST, "records were lost"),
        (MISSED, "missed"),
    ];
    let all = statuses.into_iter().chain(others);
    let shown = all.filter(|(mark, _)| seen.contains(mark));
    let parts: Vec<String> = shown.map(|(mark, word)| format!("{mark} {word}")).collect();
    parts.join("  ")
}
