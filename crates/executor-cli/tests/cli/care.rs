//! The verbs that care for a history or pass it on: `prune`, `export`, `timeline`, `completions` and `man`.

use serde_json::Value;

use crate::fixture::house;
use crate::support::{Place, Said};

fn json(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn i01_prune_can_delete_what_was_said_and_keep_the_executions() {
    let house = house();
    let prune = |more: &[&str]| {
        let all = ["prune", "--db", "house.db", "--older", "1ms", "--lines"];
        house.place.run(&[&all[..], more].concat())
    };
    let count = |table: &str| {
        let query = format!("SELECT count(*) FROM {table}");
        house.place.number("house.db", &query) as u64
    };
    let (executions, lines) = (count("executions"), count("execution_lines"));
    assert_eq!(lines, 1);
    let said = prune(&["--dry-run"]);
    let told = "would delete what was said by executions that ended before ";
    assert!(said.out.contains(told), "{}", said.out);
    let done = prune(&["--yes"]);
    let told = "deleted what 1 execution said; ";
    assert!(done.out.starts_with(told), "{}{}", done.out, done.err);
    assert_eq!(
        (count("executions"), count("execution_lines")),
        (executions, 0)
    );
}

#[test]
fn i01_prune_says_what_it_would_delete_and_deletes_that() {
    let house = house();
    let prune = |more: &[&str]| {
        let all = ["prune", "--db", "house.db", "--older", "7d"];
        house.place.run(&[&all[..], more].concat())
    };
    let rows = || {
        house
            .place
            .number("house.db", "SELECT count(*) FROM executions") as u64
    };
    let before = rows();
    let plan = json(&prune(&["--dry-run", "--json"]));
    let would = plan["would_delete"].as_u64().unwrap();
    assert_eq!(plan["executions"].as_u64(), Some(before));
    assert!(0 < would && would < before, "{plan}");
    assert!(plan["bytes"].as_u64().unwrap() > 10_000);
    let said = prune(&["--dry-run"]);
    let told = format!("would delete {would} executions that ended before ");
    assert!(said.out.contains(&told), "{}", said.out);
    // Nobody sits at a terminal.
    assert_eq!(prune(&[]).code, Some(2));
    assert_eq!(rows(), before, "nothing was deleted yet");

    let done = json(&prune(&["--yes", "--json"]));
    assert_eq!(done["deleted"].as_u64(), Some(would));
    let size = house
        .place
        .directory
        .path()
        .join("house.db")
        .metadata()
        .unwrap()
        .len();
    assert_eq!(done["bytes"].as_u64(), Some(size), "as it is from now on");
    assert!(size < plan["bytes"].as_u64().unwrap(), "{done}");
    assert_eq!(rows(), before - would);
    assert_eq!(json(&prune(&["--dry-run", "--json"]))["would_delete"], 0);
    let audit = house.place.run(&["audit", "--db", "house.db", "--json"]);
    assert_eq!(audit.code, Some(6), "{}", audit.err);
    let audit: Value = serde_json::from_str(&audit.out).unwrap();
    let holes = audit["holes"].as_array().unwrap();
    assert!(
        holes.iter().all(|hole| hole["count"] == 12),
        "what was pruned is no hole: {audit}"
    );
    let nothing = house
        .place
        .run(&["prune", "--db", "nothing.db", "--older", "1d", "--yes"]);
    assert_eq!(nothing.code, Some(4));
    assert!(!house.place.directory.path().join("nothing.db").exists());
}

#[test]
fn i01_an_export_has_every_execution_once_the_oldest_first() {
    let house = house();
    let rows = house
        .place
        .number("house.db", "SELECT count(*) FROM executions") as usize;
    let said = house.place.run(&["export", "--db", "house.db"]);
    let ends = said.out.lines().map(|line| {
        let value: Value = serde_json::from_str(line).unwrap();
        value["ended_us"].as_i64().unwrap()
    });
    let ends: Vec<i64> = ends.collect();
    assert_eq!(ends.len(), rows);
    assert!(ends.is_sorted());
    assert!(
        said.err.contains("incomplete: 12 records were lost"),
        "{}",
        said.err
    );

    let said = house.place.run(&[
        "export", "--db", "house.db", "--format", "csv", "--app", "cellar",
    ]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", said.out);
    assert!(
        lines[0].starts_with("id,session,kind,app_key,instance,name,topic,status,"),
        "{}",
        said.out
    );
    assert!(
        lines[1].contains(",cellar,0,pump,water,panicked,"),
        "{}",
        said.out
    );
    let both = ["export", "--db", "house.db", "--format", "csv", "--lines"];
    assert_eq!(house.place.run(&both).code, Some(2));
    let nobody = house
        .place
        .run(&["export", "--db", "house.db", "--app", "nobody"]);
    assert_eq!((nobody.code, &*nobody.out), (Some(9), ""));
}

#[test]
fn i01_a_timeline_shows_what_ran_beside_an_execution_and_what_was_lost() {
    let house = house();
    let timeline = |more: &[&str]| {
        let all = ["timeline", "--db", "house.db", "--utc"];
        house.place.run(&[&all[..], more].concat())
    };
    let said = timeline(&["house/backup"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lane = said
        .out
        .lines()
        .find(|line| line.starts_with("house/backup"))
        .unwrap();
    assert!(
        lane.contains("EEEEEEEEEE") && lane.contains("error 5m 00s "),
        "{}",
        said.out
    );
    assert!(said.out.contains("E error"), "{}", said.out);

    let said = timeline(&["--since", "26h", "--until", "22h"]);
    let lost = said
        .out
        .lines()
        .find(|line| line.starts_with("lost"))
        .unwrap();
    assert!(
        lost.contains('░') && lost.ends_with("12 records"),
        "{}",
        said.out
    );
    assert!(said.out.contains("4 runs"), "an hour apart: {}", said.out);
    let widest = said.out.lines().map(|line| line.chars().count()).max();
    assert!(widest.unwrap() <= 110, "{}", said.out);

    let said = timeline(&["house/backup", "--json"]);
    let value: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
    assert_eq!(value["error_message"], "connection closed");
    assert_eq!(timeline(&["--since", "1s"]).code, Some(9));
    assert_eq!(timeline(&["latest", "--since", "1s"]).code, Some(2));
}

#[test]
fn i01_completions_and_the_manual_know_every_verb() {
    let place = Place::new();
    let man = place.run(&["man"]);
    let bash = place.run(&["completions", "bash"]);
    let help = place.run(&["--help"]);
    let verbs = help
        .out
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let verbs = verbs.take_while(|line| !line.is_empty());
    let verbs: Vec<&str> = verbs
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() > 15, "{verbs:?}");
    for verb in verbs.iter().filter(|verb| **verb != "help") {
        assert!(man.out.contains(&format!("executor-{verb}")), "{verb}");
        assert!(bash.out.contains(&format!("executor,{verb})")), "{verb}");
    }
    assert_eq!(place.run(&["completions", "punchcards"]).code, Some(2));
}

#[test]
fn i01_migrate_brings_an_earlier_database_up_to_date_and_no_other_into_being() {
    let house = house();
    let migrate = |more: &[&str]| {
        let all = ["migrate", "--db", "house.db"];
        house.place.run(&[&all[..], more].concat())
    };
    let read = || std::fs::read(house.place.directory.path().join("house.db")).unwrap();
    let before = read();
    assert_eq!(migrate(&["--dry-run"]).out, "the database is up to date\n");
    assert!(read() == before, "not a byte is changed");
    assert_eq!(migrate(&[]).out, "the database is up to date\n");
    let path = house.place.directory.path().join("house.db");
    let latest = command_executor::migrate::Migrator::open(path.to_str().unwrap())
        .unwrap()
        .down();
    let latest = latest.unwrap().unwrap();
    let refused = house.place.run(&["ls", "--db", "house.db"]);
    assert_eq!(refused.code, Some(4));
    assert!(
        refused.err.contains("run `executor migrate`"),
        "{}",
        refused.err
    );
    let told = format!("the database lacks 1 migration: {latest}\n");
    assert_eq!(migrate(&["--dry-run"]).out, told);
    assert_eq!(json(&migrate(&["--json"]))["migrations"][0], *latest);
    assert_eq!(house.place.run(&["ls", "--db", "house.db"]).code, Some(0));
    let nothing = house.place.run(&["migrate", "--db", "nothing.db"]);
    assert_eq!(nothing.code, Some(4));
    assert!(!house.place.directory.path().join("nothing.db").exists());
}
