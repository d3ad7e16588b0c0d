//! `executor copy`: a history in another database is the same history.

use crate::alike::assert_alike;
use crate::fixture::{House, house};
use crate::support::{Place, Said};

/// Copies a house's history, and returns it at its new address.
fn copied(house: &House, to: &str) -> House {
    let said = copy(&house.place, &house.db, to);
    assert_eq!(said.code, Some(0), "{}", said.err);
    // Both are looked at from the same place.
    let place = Place::new();
    let path = place.directory.path().join("house.db");
    let db = match to.contains("://") {
        true => to.to_owned(),
        false => {
            std::fs::rename(house.place.directory.path().join(to), path).unwrap();
            "house.db".to_owned()
        }
    };
    House {
        place,
        now: house.now,
        db,
    }
}

fn copy(place: &Place, from: &str, to: &str) -> Said {
    place.run(&["copy", "--from", from, "--to", to])
}

/// Everything about every execution, ids included.
fn exported(house: &House) -> String {
    let said = house.place.run(&["export", "--lines", "--db", &house.db]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out
}

#[test]
fn h07_a_copy_of_a_file_says_what_the_original_says() {
    let house = house();
    let copy = copied(&house, "copy.db");
    assert_alike(&house, &copy);
    assert_eq!(exported(&copy), exported(&house));
}

#[cfg(feature = "postgres")]
#[test]
fn h07_a_history_on_a_server_and_back_is_the_same() {
    use crate::on_a_server::server;
    let Some(server) = server() else {
        return;
    };
    let house = house();
    let there = copied(&house, &server.url(&server.database()));
    assert_alike(&house, &there);
    assert_eq!(exported(&there), exported(&house));
    let elsewhere = copied(&there, &server.url(&server.database()));
    assert_alike(&house, &elsewhere);
    let back = copied(&elsewhere, "back.db");
    assert_alike(&house, &back);
    assert_eq!(exported(&back), exported(&house));
}

/// What every verb says of a copy that was interrupted.
fn assert_unfinished(house: &House) {
    let job = "[[job]]\napp = \"house\"\nname = \"tick\"\nevery = \"1s\"\nrun = [\"true\"]\n";
    house.place.file("house.toml", job);
    for command in [
        "ls",
        "status",
        "audit",
        "migrate",
        "migrate --dry-run",
        "run house.toml --for 1s",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--db", &house.db]).collect();
        let said = house.place.run(&words);
        assert_eq!(said.code, Some(4), "{command}: {}", said.err);
        assert!(said.err.contains("is not finished"), "{}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
}

#[test]
fn h07_no_verb_opens_an_unfinished_copy() {
    let house = house();
    let path = house.place.directory.path().join(&house.db);
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch("INSERT INTO __diesel_schema_migrations (version) VALUES ('copy-of-a-b')")
        .unwrap();
    assert_unfinished(&house);
}

#[cfg(feature = "postgres")]
#[test]
fn h07_no_verb_opens_an_unfinished_copy_on_a_server() {
    use crate::on_a_server::{house_on_a_server, server};
    let (Some(server), Some(house)) = (server(), house_on_a_server(crate::fixture::now())) else {
        return;
    };
    let database = house.db.rsplit('/').next().unwrap();
    let database = database.split('?').next().unwrap();
    let mark = "INSERT INTO executor.schema_migrations (version) VALUES ('copy-of-a-b')";
    server.run(mark, database).unwrap();
    assert_unfinished(&house);
}

#[test]
fn h07_a_copy_in_json_counts_what_it_has() {
    let house = house();
    let said = house
        .place
        .run(&["copy", "--from", "house.db", "--to", "copy.db", "--json"]);
    let copied: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let executions = house
        .place
        .number("house.db", "SELECT count(*) FROM executions");
    assert_eq!(copied["executions"], executions);
    assert_eq!(copied["with_lines"], 1);
    assert_eq!(copied["tables"]["gaps"], 1);
    assert_eq!(copied["sessions"].as_array().unwrap().len(), 2);
}
