//! Clauses I3 and D5: what reaches a terminal, and who may read what is made.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Place, listener};

/// An escape, a control character of eight bits, and an override of the reading direction.
const HOSTILE: [char; 3] = ['\u{1b}', '\u{9b}', '\u{202e}'];

fn hostile(word: &str) -> String {
    format!("{word}\\u001b[31m\\u009b2J\\u202e")
}

#[test]
fn i03_what_a_terminal_obeys_reaches_none() {
    let place = Place::new();
    let listener = |name: &str, run: &str| {
        let (app, name) = (hostile("app"), hostile(name));
        format!("[[listener]]\napp = \"{app}\"\nname = \"{name}\"\ntopic = \"#\"\nrun = {run}\n")
    };
    let fails = listener("fails", &format!("[\"/none/{}\"]", hostile("program")));
    let job = fails
        .replace("[[listener]]", "[[job]]")
        .replace("topic = \"#\"", "at = \"2020-01-01T00:00:00Z\"");
    place.file("c.toml", &format!("{fails}{job}"));
    place.file("e.ndjson", "{\"topic\":\"t\"}\n\u{202e}\u{9b}bad\n");
    let run = ["run", "c.toml", "--events", "e.ndjson", "--verbose"];
    let twice = format!("{fails}{fails}");
    let said = [
        place.run(&run),
        place.run(&["report"]),
        place.run(&["report", "--json"]),
        place.run(&["run", "\u{202e}\u{1b}.toml"]),
        place.run(&["run", "c.toml", "--events", "\u{202e}\u{1b}.ndjson"]),
        place.run(&["report", "--db", "\u{202e}\u{1b}.db"]),
        {
            place.file("c.toml", &twice);
            place.run(&run)
        },
    ];
    assert!(
        said[0].out.contains("app") && said[0].err.contains("fails"),
        "{:?}",
        said[0]
    );
    for said in &said {
        assert!(
            !said.out.contains(HOSTILE) && !said.err.contains(HOSTILE),
            "{said:?}"
        );
    }
    let report: serde_json::Value = serde_json::from_str(&said[2].out).unwrap();
    let app = report[0]["app_key"].as_str().unwrap();
    assert!(
        app.contains(HOSTILE),
        "for machines it is the same text: {app:?}"
    );
}

#[test]
fn d05_files_are_their_owners_unless_the_configuration_says_otherwise() {
    for (store, expected) in [("", 0o600), ("[store]\nfile_mode = 0o640\n", 0o640)] {
        let place = Place::new();
        place.file(
            "c.toml",
            &format!("{store}{}", listener("all", "[\"@noop\"]", "")),
        );
        place.file("e.ndjson", "{\"topic\":\"t\"}\n");
        let said = place.run(&["run", "c.toml", "--events", "e.ndjson"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let made = fs::metadata(place.directory.path().join("telemetry.db")).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, expected);
    }
    let place = Place::new();
    place.file(
        "c.toml",
        &format!(
            "[store]\nfile_mode = 640\n{}",
            listener("all", "[\"@noop\"]", "")
        ),
    );
    let said = place.run(&["run", "c.toml"]);
    assert_eq!(said.code, Some(3));
    assert!(
        said.err.contains("c.toml:2:13: ") && said.err.contains("like 0o640"),
        "{}",
        said.err
    );
}
