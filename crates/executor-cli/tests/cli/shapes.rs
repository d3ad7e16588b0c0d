//! What every verb that looks shows: on terminals of three widths, and as JSON.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::fixture::{House, house};
use crate::support::Place;

/// The verbs that look at a history, each with what it is asked.
const ASKED: [&str; 16] = [
    "ls --limit 5",
    "ls --failed",
    "show ID",
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
    "report --compare 7d",
    "report house/backup",
    "doctor",
];

const WIDTHS: [u16; 3] = [60, 100, 160];

/// The verb's output on a terminal, which nobody sits at.
fn on_a_terminal(place: &Place, arguments: &[&str], columns: u16) -> String {
    let (controller, terminal) = terminal(columns);
    let mut program = place.program(arguments);
    program.env("NO_COLOR", "1").env("TERM", "xterm");
    program.stdout(terminal).stderr(Stdio::null());
    shown(controller, program)
}

/// A terminal of 50 rows: our side of it, and the program's.
fn terminal(columns: u16) -> (File, File) {
    let controller = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let terminal = File::options().read(true).write(true).open(path).unwrap();
    let size = Winsize {
        ws_row: 50,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    (controller, terminal)
}

fn shown(mut controller: File, mut program: Command) -> String {
    let mut running = program.spawn().unwrap();
    // The parent's own ends of the terminal go with it.
    drop(program);
    let (mut shown, mut buffer) = (Vec::new(), [0; 4_096]);
    // Reading fails once nobody has the terminal any more.
    while let Ok(read @ 1..) = controller.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
    }
    running.wait().unwrap();
    String::from_utf8(shown).unwrap().replace("\r\n", "\n")
}

#[test]
fn i01_what_does_not_fit_the_terminal_goes_through_the_pager_of_who_sits_there() {
    let house = house();
    house
        .place
        .file("pager", "#!/bin/sh\necho paged for $1; tail -n 1\n");
    let pager = house.place.directory.path().join("pager");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&pager, mode).unwrap();
    let pager = format!("{} me", pager.display());
    let ls = |limit: &str, pager: &str, more: &[&str]| {
        let (controller, terminal) = terminal(100);
        let ls = ["ls", "--db", "house.db", "--limit", limit];
        let mut program = house.place.program(&[&ls[..], more].concat());
        program
            .env("PAGER", pager)
            .stdin(terminal.try_clone().unwrap());
        program.stdout(terminal).stderr(Stdio::null());
        shown(controller, program)
    };
    let long = ls("200", &pager, &[]);
    assert!(long.starts_with("paged for me\n"), "{long}");
    assert_eq!(long.lines().count(), 2, "{long}");
    for (limit, pager, more) in [
        ("10", &*pager, &[][..]),
        ("200", &pager, &["--no-pager"]),
        ("200", "cat", &[]),
        ("200", "/no/such/pager", &[]),
    ] {
        let shown = ls(limit, pager, more);
        let rows = limit.parse::<usize>().unwrap();
        assert!(
            shown.lines().count() >= rows && !shown.contains("paged"),
            "{shown}"
        );
    }
}

fn asked(house: &House, words: &str) -> Vec<String> {
    let said = house
        .place
        .run(&["ls", "--status", "error", "--json", "--db", "house.db"]);
    let row: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
    let words = words.replace("ID", row["short_id"].as_str().unwrap());
    let words = words.split(' ').map(str::to_owned);
    let rest = ["--utc", "--db", "house.db"].map(str::to_owned);
    words.chain(rest).collect()
}

/// What a verb shows however narrow the terminal is.
fn essential(words: &str) -> &'static [&'static str] {
    match words.split(' ').next().unwrap() {
        "ls" => &["ENDED", "WHAT", "OUTCOME", "WHY", "pump"],
        "show" => &[
            "house/backup  error",
            "connection closed",
            "lost the cellar",
        ],
        "logs" => &["house/backup  error", "lost the cellar", "the pump is dry"],
        "errors" => &["COUNT", "LAST", "WHERE", "ERROR"],
        // At the full hour it was due.
        "explain" => &["house/backup"],
        "timers" => &["NEXT", "LAST", "OUTCOME", "MISSED", "JOB"],
        "sessions" => &["STARTED", "ENDED", "STATUS", "STORED", "LOST", "crashed"],
        "sources" => &["no sources"],
        "status" => &["running ", "next ", "last crash ", "missing "],
        "timeline" => &["house/backup", "cellar/pump", "E error"],
        "audit" => &["incomplete", "12  overflow"],
        "report" => &["house"],
        "doctor" => &["schema", "integrity", "12 records lost"],
        other => panic!("nothing is said of {other}"),
    }
}

// Their text is no snapshot: dates and spans take another width each day, and with it go columns.
#[test]
fn i01_every_verb_fits_the_terminal_and_keeps_the_columns_that_matter() {
    let house = house();
    for columns in WIDTHS {
        for words in ASKED {
            let arguments = asked(&house, words);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let shown = on_a_terminal(&house.place, &arguments, columns);
            for part in essential(words) {
                assert!(
                    shown.contains(part),
                    "{words} at {columns}: {part}\n{shown}"
                );
            }
            // These tables have more columns than a narrow terminal has room for.
            let has_room = !["report", "report --compare 7d"].contains(&words) || columns > 60;
            for line in shown.lines().filter(|_| has_room) {
                let width = line.width();
                assert!(
                    width <= columns.into(),
                    "{words}: {width} of {columns}: {line}"
                );
            }
            assert!(!shown.contains('\u{1b}'), "{words}: NO_COLOR is set");
        }
    }
}

#[test]
fn i01_colours_are_on_a_terminal_unless_somebody_does_not_want_them() {
    let house = house();
    let failed = |more: &'static str| ["ls", "--failed", "--db", "house.db", "--color", more];
    let has_colours = |text: &str| text.contains("\u{1b}[");
    let shown = on_a_terminal(&house.place, &failed("always"), 100);
    assert!(has_colours(&shown), "{shown}");
    let shown = on_a_terminal(&house.place, &failed("never"), 100);
    assert!(!has_colours(&shown), "{shown}");
    assert!(has_colours(&house.place.run(&failed("always")).out));
    assert!(
        !has_colours(&house.place.run(&failed("auto")).out),
        "it is piped"
    );
}

/// Every path in a JSON value, with the type that is there.
fn paths(at: &str, value: &Value, all: &mut BTreeSet<String>) {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| paths(&format!("{at}[]"), item, all));
            return;
        }
        Value::Object(members) => {
            let each =
                |(name, member): (&String, &Value)| paths(&format!("{at}.{name}"), member, all);
            return members.iter().for_each(each);
        }
    };
    all.insert(format!("{at}: {name}"));
}

#[test]
fn i01_every_verb_has_a_schema_in_json() {
    let house = house();
    let mut all = String::new();
    for words in ASKED {
        let mut arguments = asked(&house, words);
        arguments.push("--json".into());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = house.place.run(&arguments);
        let mut found = BTreeSet::new();
        let whole: Result<Value, _> = serde_json::from_str(&said.out);
        match whole {
            Ok(value) => paths("", &value, &mut found),
            Err(_) => {
                for line in said.out.lines() {
                    let line: Value = serde_json::from_str(line).unwrap();
                    paths("", &line, &mut found);
                }
            }
        }
        let found: Vec<String> = found.into_iter().collect();
        all.push_str(&format!(
            "$ executor {words} --json\n{}\n\n",
            found.join("\n")
        ));
    }
    insta::assert_snapshot!(all);
}
