//! Clause A7 in quantity: a process of which every handler panics.

use std::process::Command;

use executor_testkit::TempDatabase;

use crate::support::number;

const PANICKER: &str = env!("CARGO_BIN_EXE_panicker");

/// By how many KiB its anonymous memory has grown from the first thousand panics to the last.
fn grown_by(store: &str) -> i64 {
    let output = Command::new(PANICKER).arg(store).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "it did not live: {errors}");
    // The hook is silent about the hundred thousand, and passes the one on that is no execution's.
    assert_eq!(errors.matches("panicked at").count(), 1, "{errors:.2000}");
    assert!(
        errors.contains("outside of all executions"),
        "{errors:.2000}"
    );
    let said = String::from_utf8(output.stdout).unwrap();
    let grown = said.trim().strip_prefix("grown ").expect("its one line");
    grown.parse().unwrap()
}

#[test]
fn a07_a_hundred_thousand_panics_leave_the_process_alive_and_silent_and_its_memory_as_it_was() {
    if !cfg!(target_os = "linux") {
        println!("skipped: only Linux says how much memory is anonymous");
        return;
    }
    // Without a database: its cache is meant to grow.
    let grown = grown_by("-");
    assert!(grown <= 16 * 1_024, "grown by {grown} KiB");
}

#[test]
fn a07_each_of_a_hundred_thousand_panics_has_its_row() {
    let database = TempDatabase::new();
    grown_by(database.path().to_str().unwrap());
    let rows = "SELECT count(*) FROM executions_v WHERE status = 'panicked'";
    assert_eq!(number(&database.path(), rows), 100_000);
}
