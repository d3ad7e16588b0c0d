//! A database that is damaged, or holds what no version of the program writes: what is whole is shown, what is not is told.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::fixture::house;
use crate::support::Place;

/// Questions of every kind.
const QUESTIONS: [&[&str]; 18] = [
    &["ls"],
    &["status"],
    &["report"],
    &["audit"],
    &["timers"],
    &["sessions"],
    &["explain", "house/backup"],
    &["timeline"],
    &["errors"],
    &["show", "latest"],
    &["logs"],
    &["ls", "--json"],
    &["report", "house/backup", "--since", "14d"],
    &["report", "--compare", "7d"],
    &["export"],
    &["export", "--format", "csv"],
    &["doctor"],
    &["prune", "--older", "1d", "--dry-run"],
];

#[test]
fn g05_a_row_that_nobody_understands_is_left_out_and_told() {
    let house = house();
    let place = &house.place;
    let whole = place.run(&["ls", "--db", "house.db", "--json", "--limit", "100000"]);
    let rows = place.number("house.db", "SELECT max(id) FROM executions");
    let path = place.directory.path().join("house.db");
    let outside = rusqlite::Connection::open(path).unwrap();
    let set = "UPDATE executions SET status = 42 WHERE id = (SELECT max(id) FROM executions)";
    outside.execute(set, []).unwrap();
    drop(outside);
    let said = place.run(&["ls", "--db", "house.db", "--json", "--limit", "100000"]);
    assert_eq!(said.code, Some(4), "{}", said.err);
    assert_eq!(said.out.lines().count(), whole.out.lines().count() - 1);
    let told = format!(
        "left out: row {rows} of executions has the status 42, which this program does not know\n\
         the database is damaged: `executor doctor` says what is damaged"
    );
    assert!(said.err.contains(&told), "{}", said.err);
}

/// A number that no clock and no counter gives, in each column in turn: an error, an odd line, but nothing that ends the
/// program otherwise.
#[test]
fn g05_whatever_number_is_stored_no_question_ends_in_a_panic() {
    let house = house();
    let columns = columns(&house.place);
    let whole = fs::read(house.place.directory.path().join("house.db")).unwrap();
    let mut changed = 0;
    let mut random = RandomState::new().build_hasher();
    for _ in 0..60 {
        random.write_u8(0);
        let random = random.finish() as usize;
        let (table, column) = &columns[random % columns.len()];
        let value = [i64::MIN, i64::MAX, -1, 1 << 62][(random >> 20) % 4];
        let question = QUESTIONS[(random >> 30) % QUESTIONS.len()];
        let place = Place::new();
        let path = place.directory.path().join("house.db");
        fs::write(&path, &whole).unwrap();
        let outside = rusqlite::Connection::open(&path).unwrap();
        let set = format!("UPDATE \"{table}\" SET \"{column}\" = {value}");
        // Some columns must differ from row to row.
        let one = format!("{set} WHERE rowid = (SELECT max(rowid) FROM \"{table}\")");
        let set = outside.execute(&set, []);
        changed += set
            .or_else(|_| outside.execute(&one, []))
            .unwrap_or(0)
            .min(1);
        drop(outside);
        let said = place.run(&[question, &["--db", "house.db"]].concat());
        let what = format!("{question:?} with {table}.{column} = {value}");
        assert!(!said.err.contains("panicked"), "{what}: {}", said.err);
        let known = (0..=11).map(Some).any(|code| said.code == code);
        assert!(known && said.code != Some(1), "{what}: {said:?}");
    }
    // Tables without rows, and a few columns that refuse, leave the database as it is.
    assert!(changed >= 20, "{changed}");
}

fn columns(place: &Place) -> Vec<(String, String)> {
    let path = place.directory.path().join("house.db");
    let outside = rusqlite::Connection::open(path).unwrap();
    let question = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
                    WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND c.type = 'INTEGER'";
    let mut statement = outside.prepare(question).unwrap();
    let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    columns.unwrap().map(Result::unwrap).collect()
}
