//! Whether two databases hold the same history, as every verb sees it.

use crate::fixture::House;
use crate::support::Said;

/// Asks every verb of both.
pub(crate) fn assert_alike(one: &House, other: &House) {
    for command in [
        "ls --limit 40",
        "ls --reverse --limit 7 --json",
        "ls --failed",
        "ls --status interrupted,panicked",
        "ls --app cellar --json",
        "ls --name backup --since 9d --until 8d",
        "ls --min-duration 4m --limit 5",
        "ls --error connection",
        "ls --session latest --limit 3",
        "logs --failed",
        "logs --grep attic",
        "report",
        "report --json",
        "report house/backup --since 14d",
        "report --compare 7d",
        "errors",
        "errors --json",
        "timeline --since 3h",
        "timers",
        "status",
        "sessions",
        "sources",
        "audit",
        "audit --since 8d --until 6d",
        "explain house/backup@3d",
        "show house/backup",
        "export",
        "migrate --dry-run",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let (of_one, of_other) = said_of_both(one, other, &words);
        assert_eq!(of_one, of_other, "{command}");
        assert_ne!(of_other.0, Some(4), "{command}: {}", of_other.1);
    }
}

/// An exit code and all that was printed.
type Spoken = (Option<i32>, String);

/// What a command says, without what is random: ids, the address, and how long something took or is ago.
fn said_of(house: &House, words: &[&str]) -> Spoken {
    let words: Vec<&str> = words.iter().copied().chain(["--db", &house.db]).collect();
    let Said { code, out, err } = house.place.run(&words);
    let all = format!("{out}{err}").replace(&house.db, "DB");
    (code, without_ids(&all))
}

/// What a command says of two histories, asked until both were asked in the same moment.
///
/// One is asked after the other, and what is left until a job is due is told in tenths of a second when it is less
/// than a minute: a difference that stays is one of the histories.
fn said_of_both(one: &House, other: &House, words: &[&str]) -> (Spoken, Spoken) {
    let both = || (said_of(one, words), said_of(other, words));
    (0..30)
        .map(|_| both())
        .find(|(of_one, of_other)| of_one == of_other)
        .unwrap_or_else(both)
}

/// Replaces each run of hexadecimal digits and dashes that is long enough to be an id.
fn without_ids(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let words = line.split_inclusive(|c: char| !c.is_ascii_hexdigit() && c != '-');
        for word in words {
            let id = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
            let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
            let has_letters = id.bytes().any(|byte| byte.is_ascii_alphabetic());
            // A short id has ten; a time in microseconds has more.
            let is_id = digits == 10 || digits > 10 && has_letters;
            match is_id {
                true => shown.push_str(&word.replace(id, "ID")),
                false => shown.push_str(word),
            }
        }
        shown.push('\n');
    }
    shown
}
