//! Clause I3: what reaches a terminal.

use crate::support::Place;

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
