//! Bad input: one clear line, the documented exit code, nothing lost.

use std::fs;

use crate::support::{Place, Said, listener};

fn one_line(said: &Said, code: i32, parts: &[&str]) {
    assert_eq!(said.code, Some(code), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.starts_with("executor: "), "{}", said.err);
    for part in parts {
        assert!(said.err.contains(part), "{} lacks {part}", said.err);
    }
    assert_eq!(said.out, "");
}

#[test]
fn a_mistake_in_the_configuration_names_file_line_and_column() {
    let place = Place::new();
    let mistakes = [
        (
            listener("l", "[\"true\"]", "timeuot = \"1s\""),
            "c.toml:6:1: unknown field",
        ),
        (
            listener("l", "[\"true\"]", "timeout = \"soon\""),
            "c.toml:6:11: `soon` is not a duration",
        ),
        (
            listener("l", "[\"true\"]", "").replace('#', "a.#.b"),
            "c.toml:4:9: `a.#.b` is not a topic",
        ),
        (
            "[[job]]\napp = \"a\"\nname = \"j\"\nrun = [\"true\"]\ntime_zone = \"UTC\"\n\
             cron = \"0 25 * * *\"\n"
                .to_owned(),
            "c.toml:6:8: `0 25 * * *`: hours `25` at column 3: write numbers from 0 to 23",
        ),
        ("= 1".to_owned(), "c.toml:1:1: "),
    ];
    for (text, expected) in mistakes {
        place.file("c.toml", &text);
        one_line(&place.run(&["run", "c.toml"]), 3, &[expected]);
    }
    one_line(
        &place.run(&["run", "none.toml"]),
        3,
        &["none.toml: cannot read", "No such file"],
    );
    assert!(
        !place.directory.path().join("telemetry.db").exists(),
        "nothing was begun"
    );
}

#[test]
fn a_missing_file_of_events_is_named() {
    let place = Place::new();
    place.file("c.toml", &listener("l", "[\"true\"]", ""));
    let said = place.run(&["run", "c.toml", "--events", "none.ndjson"]);
    one_line(&said, 5, &["`none.ndjson`", "No such file"]);
    one_line(
        &place.run(&["run", "c.toml", "--events", "."]),
        5,
        &["`.`", "is a directory"],
    );
}

#[test]
fn a_database_that_cannot_be_used_is_named_and_left_alone() {
    let place = Place::new();
    place.file("c.toml", &listener("l", "[\"true\"]", ""));
    let foreign = "these are my notes\n".repeat(100);
    let notes = place.file("notes.db", &foreign);
    let said = place.run(&["run", "c.toml", "--db", "notes.db"]);
    one_line(
        &said,
        4,
        &["`notes.db` is not a SQLite database", "left untouched"],
    );
    one_line(
        &place.run(&["report", "--db", "notes.db"]),
        4,
        &["`notes.db`"],
    );
    assert_eq!(fs::read_to_string(notes).unwrap(), foreign);
    one_line(
        &place.run(&["report"]),
        4,
        &["no database at `telemetry.db`"],
    );
    one_line(
        &place.run(&["report", "--db", "postgres://x/y"]),
        4,
        &[if cfg!(feature = "postgres") {
            "x/y"
        } else {
            "without PostgreSQL"
        }],
    );
}

#[test]
fn i07_a_password_in_an_address_is_shown_nowhere() {
    let place = Place::new();
    let mut ls = place.program(&["ls"]);
    let said = ls
        .env("EXECUTOR_DB", "postgres://somebody:secret@host/db")
        .output()
        .unwrap();
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    assert!(
        said.contains("postgres://…") || said.contains("host/db"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let place = Place::new();
    assert_eq!(place.run(&["run"]).code, Some(2));
    let said = place.run(&["run", "c.toml", "--for", "soon"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("`soon` is not a duration"),
        "{}",
        said.err
    );
}

#[test]
fn bad_lines_are_named_and_counted_and_the_rest_of_the_stream_goes_on() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    let mut lines =
        String::from("{\"topic\":\"t\"}\nnot json\n\n{\"no\":\"topic\"}\n{\"topic\":\"t\"}\n");
    lines.push_str(&"{\n".repeat(50));
    lines.push_str("{\"topic\":\"last\"}");
    place.file("e.ndjson", &lines);
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.err.contains("e.ndjson:2: column 2: not JSON"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("e.ndjson:4: no topic at /topic"),
        "{}",
        said.err
    );
    assert!(said.err.contains("3 events, 52 bad lines"), "{}", said.err);
    assert!(
        said.err.lines().count() < 20,
        "named only at first: {}",
        said.err
    );
    assert_eq!(
        place.number("telemetry.db", "SELECT count(*) FROM executions"),
        3
    );
}

#[test]
fn d05_a_database_that_another_program_is_making_is_left_alone() {
    for begun in ["BEGIN IMMEDIATE", "BEGIN; CREATE TABLE cats (name TEXT)"] {
        let place = Place::new();
        place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
        let path = place.directory.path().join("x.db");
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch(begun).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        let said = place.run(&["run", "c.toml", "--for", "1ms", "--db", "x.db"]);
        assert_eq!(said.code, Some(4), "{}", said.err);
        assert!(
            said.err
                .contains("another program is making its database at `x.db`"),
            "{}",
            said.err
        );
        other
            .execute_batch("CREATE TABLE dogs (name TEXT); COMMIT")
            .unwrap();
        let dogs = "SELECT count(*) FROM sqlite_master WHERE name = 'dogs'";
        assert_eq!(place.number("x.db", dogs), 1);
        let beside = std::fs::read_dir(place.directory.path()).unwrap().flatten();
        let orphans = beside.filter(|entry| entry.file_name().to_string_lossy().contains("orphan"));
        assert_eq!(orphans.count(), 0);
    }
}

#[test]
fn i02_a_configuration_without_an_end_is_one_line() {
    let place = Place::new();
    let said = place.run(&["run", "/dev/zero"]);
    one_line(&said, 3, &["/dev/zero: ", "larger than 4 MiB"]);
}

#[test]
fn i02_a_bracket_that_is_missing_is_one_mistake() {
    let place = Place::new();
    let all = format!(
        "{}{}",
        listener("l", "[\"true\"", ""),
        listener("m", "[\"true\"]", "timeout = \"1s\"")
    );
    place.file("c.toml", &all);
    let said = place.run(&["check", "c.toml"]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.lines().count() <= 3, "{}", said.err);
    assert!(said.err.starts_with("executor: c.toml:"), "{}", said.err);
}

#[test]
fn f06_a_time_may_be_in_the_zone_of_the_system() {
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"once\"\nat = \"2099-01-01T00:00:00\"\ntime_zone = \"local\"\nrun = [\"@noop\"]\n";
    place.file("c.toml", job);
    let said = place.run(&["check", "c.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("2099"), "{}", said.out);
}
