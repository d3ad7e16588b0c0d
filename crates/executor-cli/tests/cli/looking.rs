//! The verbs that look: `ls`, `show`, `logs`, `errors`, `explain` and `audit`, on a history that `run` has left.

use command_executor::SqliteStore;
use command_executor::ports::{Housekeeping, PruneRule, PruneSlice, RecordStore};
use serde_json::Value;

use crate::fixture::house;
use crate::support::{Place, Said, until};

const CONFIG: &str = r#"
[store]
url = "house.db"

[[listener]]
app = "house"
name = "hall"
topic = "motion"
run = ["sh", "-c", "echo it is dark; echo 'no route to attic 17' >&2; exit 12"]
overlap = "parallel"

[[listener]]
app = "house"
name = "lamp"
topic = "motion"
run = ["@noop"]

[[listener]]
app = "cellar"
name = "pump"
topic = "water"
run = ["@panic"]
"#;

/// Three failures of a program, three successes, and a panic.
fn history() -> Place {
    let place = Place::new();
    place.file("executor.toml", CONFIG);
    for events in [&["motion"; 3][..], &["water"]] {
        let lines = events
            .iter()
            .map(|topic| format!("{{\"topic\":\"{topic}\"}}\n"));
        place.file("events.ndjson", &lines.collect::<String>());
        let said = place.run(&["run", "executor.toml", "--events", "events.ndjson"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    place
}

/// The values of one key in lines of JSON.
fn values(said: &Said, key: &str) -> Vec<String> {
    let expected = if said.out.is_empty() { 9 } else { 0 };
    assert_eq!(said.code, Some(expected), "{}", said.err);
    let lines = said.out.lines();
    let values = lines.map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        match &value[key] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    });
    values.collect()
}

#[test]
fn i01_ls_lists_what_is_selected() {
    let place = history();
    let ls = |more: &[&str]| values(&place.run(&[&["ls", "--json"], more].concat()), "name");
    assert_eq!(ls(&[]).len(), 7);
    assert_eq!(ls(&["--failed", "--app", "house"]), ["hall"; 3]);
    assert_eq!(
        ls(&["--status", "panicked,success", "--app", "cellar"]),
        ["pump"]
    );
    assert_eq!(ls(&["--name", "lamp", "-n", "2"]), ["lamp"; 2]);
    assert_eq!(ls(&["--error", "STATUS 12"]), ["hall"; 3]);
    assert_eq!(ls(&["--since", "1h", "--until", "now"]).len(), 7);
    assert!(ls(&["--until", "2h"]).is_empty());
    assert!(ls(&["--min-duration", "10m"]).is_empty());
    let ends = |more: &[&str]| -> Vec<i64> {
        let ends = values(&place.run(&[&["ls", "--json"], more].concat()), "ended_us");
        ends.iter().map(|end| end.parse().unwrap()).collect()
    };
    assert!(ends(&["--reverse"]).is_sorted());
    assert!(ends(&[]).iter().rev().is_sorted());
    let said = place.run(&["ls", "--failed"]);
    assert!(
        said.out.starts_with("ENDED     ID          WHAT"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("no route to attic 17\n"),
        "the program's own last line: {}",
        said.out
    );
    assert!(said.out.ends_with("\n4 executions\n"), "{}", said.out);
    assert!(
        said.err
            .contains("using the database `house.db` (from `executor.toml`)"),
        "{}",
        said.err
    );
    let said = place.run(&["ls", "--name", "nobody"]);
    assert_eq!((said.code, &*said.out), (Some(9), ""));
    let said = place.run(&["ls", "--since", "1h", "--until", "2h"]);
    assert_eq!((said.code, &*said.out), (Some(2), ""), "{}", said.err);
    for (limit, end) in [
        ("6", "\n6 executions, and more: --limit\n"),
        ("7", "\n7 executions\n"),
    ] {
        let said = place.run(&["ls", "--limit", limit]);
        assert!(said.out.ends_with(end), "{}", said.out);
    }
}

#[test]
fn i01_show_has_everything_about_one_execution() {
    let place = history();
    // Those of one event began in the same millisecond, so their short ids may be the same.
    let pump = values(&place.run(&["ls", "--json", "--name", "pump"]), "short_id").remove(0);
    let ids = values(&place.run(&["ls", "--json", "--name", "hall"]), "id");
    for what in [&*ids[1], &pump, &pump[..8], "house/hall", "latest"] {
        let said = place.run(&["show", what, "--db", "house.db"]);
        assert_eq!((said.code, &*said.err), (Some(0), ""), "{what}");
    }
    let said = place.run(&["show", &ids[1]]);
    for part in [
        "house/hall  error  exit status 12",
        "  trigger   event on motion",
        "  previous  ",
        "  next      ",
        "  lines     2 of 2 kept",
        " err   no route to attic 17",
        " out   it is dark",
    ] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let found = values(&place.run(&["show", &ids[1], "--json"]), "id");
    assert_eq!(found, [ids[1].clone()]);
    for nothing in ["ffffffffff", "house/attic", "what is this"] {
        let said = place.run(&["show", nothing]);
        assert_eq!(
            (said.code, &*said.out),
            (Some(9), ""),
            "{nothing}: {}",
            said.err
        );
    }
    // The first digits of ids that were made in the same minutes are the same.
    let said = place.run(&["show", &ids[1][..9]]);
    assert_eq!(said.code, Some(9));
    assert!(said.err.contains("write more of the id"), "{}", said.err);
    assert_eq!(said.err.matches("house/hall").count(), 3, "{}", said.err);
}

#[test]
fn i01_logs_shows_what_executions_said() {
    let place = history();
    let said = place.run(&["logs", "--failed", "--since", "1h"]);
    assert_eq!(
        said.out.matches("err   no route to attic 17").count(),
        3,
        "{}",
        said.out
    );
    assert_eq!(said.out.matches("out   it is dark").count(), 3);
    assert!(said.out.contains("cellar/pump  panicked"), "{}", said.out);
    let said = place.run(&["logs", "--grep", "ATTIC", "-n", "2"]);
    assert_eq!(said.out.matches("attic").count(), 2, "{}", said.out);
    assert!(!said.out.contains("dark"), "{}", said.out);
    for (more, count) in [(&[][..], 3), (&["-n", "2"], 2), (&["--status", "error"], 3)] {
        let said = place.run(&[&["logs", "house/hall"], more].concat());
        assert_eq!(said.out.matches("attic").count(), count, "{}", said.out);
    }
    for nothing in [
        &["logs", "--grep", "nobody said this"][..],
        &["logs", "house/hall", "--grep", "nobody said this"],
        &["logs", "latest", "--grep", "nobody said this"],
        &["logs", "house#1/hall"],
    ] {
        let said = place.run(nothing);
        assert_eq!(said.code, Some(9), "{nothing:?}: {}", said.out);
    }
    let said = place.run(&["logs", "latest", "--failed"]);
    assert_eq!((said.code, &*said.out), (Some(2), ""), "{}", said.err);
}

#[test]
fn i01_logs_tells_nothing_said_from_what_was_pruned() {
    let house = house();
    let path = house.place.directory.path().join("house.db");
    let logs = || {
        house
            .place
            .run(&["logs", "house/backup", "--failed", "--db", "house.db"])
    };
    let said = logs();
    assert!(said.out.contains("lost the cellar"), "{}", said.out);
    assert!(!said.err.contains("was pruned"), "{}", said.err);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
        let slice = PruneSlice::new(PruneRule::LinesBefore(house.now), 100);
        assert_eq!(store.prune(slice).await.unwrap(), 1);
        store.close().await.unwrap();
    });
    let said = logs();
    assert!(!said.out.contains("lost the cellar"), "{}", said.out);
    let expected = "of that time, what 1 execution said (of all listeners and jobs) was pruned";
    assert!(said.err.contains(expected), "{}", said.err);
}

#[test]
fn i01_errors_are_grouped_by_their_shape() {
    let place = history();
    let said = place.run(&["errors", "--json"]);
    assert_eq!(values(&said, "count"), ["3", "1"]);
    assert_eq!(values(&said, "shape")[0], "`sh` exited with status #");
    let said = place.run(&["errors", "--app", "cellar"]);
    assert!(said.out.ends_with("1 failure in 1 group\n"), "{}", said.out);
    let said = place.run(&["errors", "--name", "hall"]);
    assert!(
        said.out.ends_with("3 failures in 1 group\n"),
        "{}",
        said.out
    );
}

#[test]
fn i01_explain_says_why_in_one_sentence() {
    let place = history();
    let explain = |what: &str| place.run(&["explain", what]).out;
    let said = explain("house/lamp");
    assert!(
        said.starts_with("house/lamp ran at ") && said.contains("2 more"),
        "{said}"
    );
    let said = explain("house/hall");
    assert!(said.contains("and failed"), "{said}");
    let said = explain("house/hall@2h");
    assert!(
        said.starts_with("house/hall did not run: no process was alive"),
        "{said}"
    );
    assert_eq!(
        explain("house/attic"),
        "house/attic is not in this history.\n"
    );
    let said = place.run(&["explain", "house/hall@2h", "--json"]);
    assert_eq!(values(&said, "because"), ["no_process"]);
    for wrong in [
        "hall",
        "house/",
        "#1/hall",
        "house#x/hall",
        "house/hall@soon",
    ] {
        let said = place.run(&["explain", wrong]);
        assert_eq!((said.code, &*said.out), (Some(2), ""), "{wrong}");
    }
}

#[test]
fn i01_audit_is_complete_until_somebody_deletes_a_row() {
    let place = history();
    let said = place.run(&["audit"]);
    assert_eq!(
        (said.code, &*said.out),
        (Some(0), "complete  7 stored\n"),
        "{}",
        said.err
    );
    let path = place.directory.path().join("house.db");
    let outside = rusqlite::Connection::open(path).unwrap();
    outside
        .execute("DELETE FROM executions WHERE status = 4", [])
        .unwrap();
    drop(outside);
    let said = place.run(&["audit", "--since", "1h"]);
    assert_eq!(said.code, Some(6));
    assert!(said.out.starts_with("incomplete  "), "{}", said.out);
    assert!(
        said.out.contains("1  rows deleted  session "),
        "{}",
        said.out
    );
    let said = place.run(&["audit", "--json"]);
    assert!(
        said.out.contains("\"verdict\":\"incomplete\""),
        "{}",
        said.out
    );
}

#[test]
fn i01_an_audit_that_cannot_look_at_a_spool_says_so() {
    let place = Place::new();
    place.file("executor.toml", &CONFIG.replace("@noop", "sleep\", \"10"));
    place.file("events.ndjson", "{\"topic\":\"motion\"}\n");
    let mut run = place.start(&["run", "executor.toml", "--events", "events.ndjson"]);
    until("the program has failed", || {
        let said = place.run(&["ls", "--failed"]);
        (said.code == Some(0)).then_some(())
    });
    run.kill().unwrap();
    run.wait().unwrap();
    let said = place.run(&["audit"]);
    assert_eq!(said.code, Some(8), "{}", said.err);
    assert!(
        said.out.starts_with("cannot tell  1 stored\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("  not checked  since "), "{}", said.out);
    assert!(said.out.contains("`executor spool replay`"), "{}", said.out);
    let said = place.run(&["spool", "replay", "house.db.spool"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = place.run(&["audit"]);
    assert_eq!((said.code, &*said.out), (Some(0), "complete  2 stored\n"));
    let said = place.run(&["ls", "--status", "interrupted"]);
    // At least so long, or nobody has seen it again.
    let took = [
        "house/lamp  interrupted  ≥ ",
        "house/lamp  interrupted     ?",
    ];
    let is_told = took.iter().any(|took| said.out.contains(took));
    assert!(is_told, "{}", said.out);
    assert!(said.out.contains("process killed"), "{}", said.out);
}

#[test]
fn i01_the_database_is_found_as_the_manual_says() {
    let place = history();
    let err = |program: &mut std::process::Command| {
        let said: Said = program.output().unwrap().into();
        (said.code, said.err)
    };
    let named = err(place.program(&["ls"]).env("EXECUTOR_DB", "house.db"));
    assert_eq!(
        named,
        (
            Some(0),
            "using the database `house.db` (from EXECUTOR_DB)\n".into()
        )
    );
    let absent = err(place.program(&["ls"]).env("EXECUTOR_DB", "absent.db"));
    assert_eq!(absent.0, Some(4), "{}", absent.1);
    assert!(absent.1.contains("absent.db"), "{}", absent.1);
    let config = err(place.program(&["ls"]).env("EXECUTOR_CONFIG", "absent.toml"));
    assert_eq!(config.0, Some(3), "{}", config.1);
    let elsewhere = Place::new();
    let none = err(&mut elsewhere.program(&["ls"]));
    assert_eq!(none.0, Some(4));
    assert!(none.1.contains("telemetry.db"), "{}", none.1);
}

#[test]
fn i03_nothing_that_a_terminal_obeys_is_let_through() {
    let place = Place::new();
    let config = CONFIG.replace("it is dark", "\\\\033[31mred\\\\007 \\\\342\\\\200\\\\256");
    let config = config.replace("name = \"lamp\"", "name = \"la\\u001bmp\"");
    place.file(
        "executor.toml",
        &config.replace("echo \\\\", "printf '%b\\\\n' \\\\"),
    );
    place.file("events.ndjson", "{\"topic\":\"motion\"}\n");
    let said = place.run(&["run", "executor.toml", "--events", "events.ndjson"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let stored = place.text("house.db", "SELECT group_concat(body) FROM execution_lines");
    assert!(stored.contains("red"), "{stored}");
    for verb in [
        &["ls"][..],
        &["logs", "-n", "9"],
        &["show", "latest"],
        &["errors"],
        &["ls", "--json"],
    ] {
        let said = place.run(verb);
        let obeyed = |char: char| char.is_control() && char != '\n';
        assert!(
            !said.out.contains(obeyed) && !said.out.contains('\u{202e}'),
            "{:?}",
            said.out
        );
    }
}

#[test]
fn i01_executions_are_selected_by_kind_and_by_session() {
    let house = house();
    let place = &house.place;
    let list = |more: &[&str]| {
        let all = ["ls", "--db", "house.db", "--json", "--limit", "100000"];
        let said = place.run(&[&all[..], more].concat());
        let lines = said.out.lines().map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| value[key].as_str().unwrap().to_owned();
            (text("kind"), text("session"), text("name"))
        });
        (said.code, lines.collect::<Vec<_>>())
    };
    let (_, all) = list(&[]);
    let those = |is_it: &dyn Fn(&(String, String, String)) -> bool| {
        let those: Vec<_> = all.iter().filter(|it| is_it(it)).cloned().collect();
        assert!(!those.is_empty() && those.len() < all.len());
        (Some(0), those)
    };
    assert_eq!(list(&["--kind", "job"]), those(&|it| it.0 == "job"));
    assert_eq!(list(&["--kind", "listener"]), those(&|it| it.0 != "job"));
    let session = &all[0].1;
    let of_it = those(&|it| it.1 == *session);
    assert_eq!(list(&["--session", session]), of_it);
    // As the table of sessions shows it.
    let short = format!("{}{}{}", &session[4..8], &session[9..13], &session[15..17]);
    assert!(
        place
            .run(&["sessions", "--db", "house.db"])
            .out
            .contains(&short)
    );
    assert_eq!(list(&["--session", &short]), of_it);
    let of_both = those(&|it| it.1 == *session && it.2 == "backup");
    assert_eq!(list(&["--session", &short, "--name", "backup"]), of_both);
    assert_eq!(list(&["--session", "latest"]).0, Some(0));
    assert_eq!(list(&["--session", "zz"]), (Some(9), Vec::new()));
    let said = place.run(&["ls", "--db", "house.db", "--session", "01"]);
    assert!(
        said.err.contains("sessions; write more of the id"),
        "{}",
        said.err
    );
    for wrong in [["--kind", "cat"], ["--session", ""]] {
        let said = place.run(&[&["ls", "--db", "house.db"][..], &wrong].concat());
        assert_eq!(said.code, Some(2), "{}", said.err);
    }
}

#[test]
fn i01_what_others_have_missed_is_not_said_of_a_selection() {
    let house = house();
    let told = |more: &[&str]| {
        let ls = ["ls", "--db", "house.db", "--limit", "100000"];
        let said = house.place.run(&[&ls[..], more].concat());
        said.out.contains("planned runs missed") || said.out.contains("planned run missed")
    };
    assert!(told(&[]));
    assert!(!told(&["--app", "lights"]));
}
