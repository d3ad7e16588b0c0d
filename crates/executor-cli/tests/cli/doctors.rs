//! `executor doctor`: what it finds, and what it mends.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use serde_json::Value;

use crate::fixture::house;
use crate::support::{Place, Said, until};

const CONFIG: &str = r#"
[store]
url = "house.db"

[[job]]
app = "house"
name = "backup"
run = ["sleep", "60"]
after = "100ms"
"#;

/// The names of the checks that found something.
fn found(said: &Said) -> Vec<String> {
    let checks = said.out.lines().map(|line| {
        let value: Value = serde_json::from_str(line).unwrap();
        value
    });
    let ill = checks.filter(|check| check["findings"] != Value::Array(Vec::new()));
    let names: Vec<String> = ill
        .map(|check| check["check"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        said.code,
        Some(if names.is_empty() { 0 } else { 10 }),
        "{}",
        said.out
    );
    names
}

fn doctor(place: &Place, more: &[&str]) -> Said {
    let all = ["doctor", "--db", "house.db", "--json"];
    place.run(&[&all[..], more].concat())
}

#[test]
fn i01_the_doctor_finds_a_dead_process_and_stores_what_it_left() {
    let place = Place::new();
    place.file("executor.toml", CONFIG);
    let mut run = place.start(&["run", "executor.toml"]);
    until("something runs", || {
        let said = place.run(&["status", "--db", "house.db"]);
        said.out.contains("1 in progress").then_some(())
    });
    assert_eq!(found(&doctor(&place, &[])), [""; 0]);
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(found(&doctor(&place, &[])), ["processes", "spools"]);
    let said = place.run(&["doctor", "--db", "house.db"]);
    assert!(
        said.out
            .contains("→ start it again, run `executor spool replay`, or use --fix"),
        "{}",
        said.out
    );
    // Its program has outlived it; nobody may end that unasked.
    assert_eq!(found(&doctor(&place, &["--fix"])), ["spools"]);
    let said = place.run(&["doctor", "--db", "house.db"]).out;
    assert!(
        said.contains("`sleep` of house/backup is still running"),
        "{said}"
    );
    let interrupted = "SELECT count(*) FROM executions_v WHERE status = 'interrupted'";
    assert_eq!(place.number("house.db", interrupted), 1);
}

#[test]
fn i01_the_doctor_tells_losses_an_earlier_schema_and_damage() {
    let house = house();
    let place = &house.place;
    assert_eq!(found(&doctor(place, &[])), ["records"]);
    let path = place.directory.path().join("house.db");
    let database = path.to_str().unwrap();
    command_executor::migrate::Migrator::open(database)
        .unwrap()
        .down()
        .unwrap();
    assert_eq!(found(&doctor(place, &[])), ["schema"]);
    assert_eq!(found(&doctor(place, &["--fix"])), ["records"]);

    // A page in the middle of the file.
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    let middle = file.metadata().unwrap().len() / 2 / 4_096 * 4_096;
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[0xa5; 4_096]).unwrap();
    drop(file);
    assert!(found(&doctor(place, &[])).contains(&"integrity".to_owned()));
    let nothing = place.run(&["doctor", "--db", "nothing.db"]);
    assert_eq!(nothing.code, Some(10), "{}", nothing.err);
    assert!(nothing.out.contains("no database at"), "{}", nothing.out);
    assert!(!place.directory.path().join("nothing.db").exists());
}
