//! Clauses I2, I3 and G5 for whatever comes: damaged configurations, lines, databases and command lines by the thousand.
//! Each ends in time, with a documented code and, if that is an error, a line that says why; nothing panics, and nothing
//! that a terminal would obey is printed. HOSTILE is the number of cases, SEED replays them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Stdio;

use fastrand::Rng;

use crate::fixture::house;
use crate::support::{Place, Said, ended, example};

/// The seed, which a failure names.
struct Cases {
    random: Rng,
    seed: u64,
    count: usize,
}

impl Cases {
    fn new(usual: usize) -> Self {
        let setting = |name| std::env::var(name).ok()?.parse().ok();
        let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..));
        Self {
            random: Rng::with_seed(seed),
            seed,
            count: setting("HOSTILE").map_or(usual, |count: u64| count as usize),
        }
    }

    /// Checks how a run ended.
    fn check(&self, said: &Said, codes: &[i32], case: impl std::fmt::Debug) {
        let seed = self.seed;
        let told = format!("SEED={seed} {case:?}: {said:?}");
        assert!(
            said.code.is_some_and(|code| codes.contains(&code)),
            "{told}"
        );
        let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_obeyed = |c: char| (c.is_control() && c != '\n') || turns(c);
        assert!(
            !said.err.contains(is_obeyed) && !said.out.contains(is_obeyed),
            "{told}"
        );
        assert!(!said.err.contains("panicked at "), "{told}");
        // For a machine, nothing that matches is no line.
        let is_empty = said.code == Some(9) && format!("{case:?}").contains("--json");
        if said.code != Some(0) && !is_empty {
            assert!(
                !said.err.trim().is_empty() || !said.out.is_empty(),
                "{told}"
            );
        }
    }
}

/// What is there to be put somewhere else.
const PIECES: [&str; 22] = [
    "\"",
    "[",
    "]",
    "=",
    "\n",
    "\\",
    "{",
    "}",
    ",",
    "#",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{0}",
    "'''",
    "[[job]]\n",
    "9999999999999999999",
    "-1",
    "1e400",
    "\u{feff}",
    "run",
    "nan",
    "ä",
];

/// Cuts, repeats, moves and replaces parts of a text, which may not be UTF-8 then.
fn damaged(whole: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut text = whole.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=text.len());
        let to = (at + random.usize(..40)).min(text.len());
        match random.u8(..6) {
            0 => drop(text.drain(at..to)),
            1 => text.truncate(at),
            2 => {
                let piece = PIECES[random.usize(..PIECES.len())];
                drop(text.splice(at..at, piece.bytes()));
            }
            3 => {
                let piece = text[at..to].to_vec();
                let there = random.usize(..=text.len());
                drop(text.splice(there..there, piece));
            }
            4 if !text.is_empty() => {
                let at = at.min(text.len() - 1);
                text[at] ^= 1 << random.u8(..8);
            }
            _ => {
                let piece = PIECES[random.usize(..PIECES.len())];
                drop(text.splice(at..to, piece.bytes()));
            }
        }
    }
    text
}

#[test]
fn i02_whatever_stands_in_a_configuration_is_told_with_its_place() {
    let mut cases = Cases::new(60);
    let whole = fs::read(example("quickstart.toml")).unwrap();
    for _ in 0..cases.count {
        let place = Place::new();
        let text = damaged(&whole, &mut cases.random);
        fs::write(place.directory.path().join("c.toml"), &text).unwrap();
        let said = place.run(&["check", "c.toml"]);
        let text = String::from_utf8_lossy(&text).into_owned();
        cases.check(&said, &[0, 3], &text);
        let is_placed =
            |line: &str| line.starts_with("executor: c.toml") || !line.starts_with("executor: ");
        assert!(said.err.lines().all(is_placed), "{text:?}: {said:?}");
    }
}

#[test]
fn i04_of_damaged_lines_each_is_an_event_or_is_counted() {
    let mut cases = Cases::new(400);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources");
    let mut whole: Vec<Vec<u8>> = Vec::new();
    for file in [
        "docker.ndjson",
        "home_assistant.ndjson",
        "journal.ndjson",
        "mqtt.ndjson",
    ] {
        let text = fs::read(data.join(file)).unwrap();
        whole.extend(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    }
    whole.retain(|line| !line.is_empty());
    let place = Place::new();
    place.file(
        "c.toml",
        "[events]\ntopic = [\"/event_type\"]\ntopic_default = \"none\"\n\
         [[listener]]\napp = \"a\"\nname = \"all\"\ntopic = \"#\"\nrun = [\"@noop\"]\n",
    );
    let mut left = cases.count;
    while left > 0 {
        let of_run = left.min(500);
        left -= of_run;
        let mut text = b"{}\n".to_vec();
        for _ in 0..of_run {
            let line = &whole[cases.random.usize(..whole.len())];
            let mut line = damaged(line, &mut cases.random);
            line.iter_mut()
                .filter(|byte| **byte == b'\n')
                .for_each(|byte| *byte = b' ');
            text.extend(line);
            text.push(b'\n');
        }
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count();
        fs::write(place.directory.path().join("e.ndjson"), text).unwrap();
        let said = place.run(&["run", "c.toml", "--events", "e.ndjson", "--json"]);
        cases.check(&said, &[0], lines);
        assert_eq!(
            counted(&said.err),
            lines,
            "SEED={} {}",
            cases.seed,
            said.err
        );
    }
}

/// The events and bad lines of a run together.
fn counted(told: &str) -> usize {
    let last = told
        .lines()
        .find(|line| line.contains(" events, "))
        .unwrap();
    let words: Vec<&str> = last.split(' ').collect();
    words[0].parse::<usize>().unwrap() + words[2].parse::<usize>().unwrap()
}

/// Questions of every kind that looks.
const QUESTIONS: [&str; 16] = [
    "ls",
    "ls --failed --json",
    "show latest",
    "logs --failed",
    "errors",
    "explain house/backup",
    "timers",
    "sessions",
    "sources",
    "status",
    "timeline --since 3h",
    "audit",
    "report",
    "report house/backup --since 14d",
    "export --format csv",
    "doctor",
];

#[test]
fn g05_a_damaged_database_is_read_as_far_as_it_can_be_and_nothing_is_changed_or_made() {
    let mut cases = Cases::new(60);
    let house = house();
    let whole = fs::read(house.place.directory.path().join("house.db")).unwrap();
    let place = Place::new();
    let path = place.directory.path().join("house.db");
    for _ in 0..cases.count {
        let mut bytes = whole.clone();
        for _ in 0..cases.random.usize(1..6) {
            harm(&mut bytes, &mut cases.random);
        }
        fs::write(&path, &bytes).unwrap();
        let question = QUESTIONS[cases.random.usize(..QUESTIONS.len())];
        let words = question.split(' ').chain(["--db", "house.db"]);
        let said = place.run(&words.collect::<Vec<_>>());
        cases.check(&said, &[0, 4, 6, 8, 9, 10], question);
        assert!(
            fs::read(&path).unwrap() == bytes,
            "SEED={} {question} changed it",
            cases.seed
        );
        let files = fs::read_dir(place.directory.path()).unwrap().count();
        assert_eq!(files, 1, "SEED={} {question} made a file", cases.seed);
    }
}

const PAGE: usize = 4_096;

fn harm(bytes: &mut Vec<u8>, random: &mut Rng) {
    let size = bytes.len().max(1);
    let at = random.usize(..size);
    match random.u8(..8) {
        0 => bytes.truncate(at),
        1 | 2 if bytes.len() >= PAGE => {
            let page = at.min(bytes.len() - PAGE) / PAGE * PAGE;
            let fill = [0, 0xff, random.u8(..)][random.usize(..3)];
            bytes[page..page + PAGE].fill(fill);
        }
        3 if bytes.len() > 2 * PAGE => {
            let [from, to] = [0; 2].map(|_| random.usize(..bytes.len() / PAGE - 1) * PAGE);
            bytes.copy_within(from..from + PAGE, to);
        }
        _ if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        _ => {}
    }
}

/// What command lines are made of; none of it runs for long or follows anything.
const WORDS: [&str; 52] = [
    "run",
    "check",
    "ls",
    "show",
    "logs",
    "errors",
    "explain",
    "timers",
    "sessions",
    "sources",
    "status",
    "timeline",
    "audit",
    "report",
    "prune",
    "export",
    "doctor",
    "migrate",
    "completions",
    "man",
    "spool",
    "fsck",
    "dump",
    "replay",
    "import-crontab",
    "c.toml",
    "house.db",
    "--db",
    "--json",
    "--utc",
    "--since",
    "--until",
    "--app",
    "--name",
    "--status",
    "--failed",
    "--limit",
    "--min-duration",
    "--session",
    "--kind",
    "--older",
    "--dry-run",
    "--yes",
    "--compare",
    "--color",
    "2h",
    "yesterday",
    "03:00",
    "latest",
    "house/backup",
    "house/backup@03:00",
    "-1",
];

fn word(random: &mut Rng) -> OsString {
    match random.u8(..10) {
        0 => OsString::from_vec(damaged(b"house/backup@03:00", random)),
        1 => PIECES[random.usize(..PIECES.len())].into(),
        2 => format!("{}", random.i64(..)).into(),
        _ => WORDS[random.usize(..WORDS.len())].into(),
    }
}

#[test]
fn i02_whatever_is_written_on_the_command_line_ends_with_a_documented_code() {
    let mut cases = Cases::new(100);
    let house = house();
    for _ in 0..cases.count {
        let count = cases.random.usize(1..7);
        let mut words: Vec<OsString> = vec![WORDS[cases.random.usize(..25)].into()];
        words.extend((0..count).map(|_| word(&mut cases.random)));
        // An argument cannot have such a character.
        words.retain(|word| !word.as_encoded_bytes().contains(&0));
        let mut program = house.place.program(&[]);
        program
            .args(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let said = ended(program.spawn().unwrap());
        let codes = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        cases.check(&said, &codes, &words);
    }
}
