//! The model as a table, which is what `docs/outcomes.md` says.

use std::fmt::Write as _;
use std::path::Path;

use executor_core::TimeoutOrigin;

use crate::blocking;
use crate::model::{Behaviour, Circumstance, End, expected};

const HEAD: &str = "\
# How an execution ends

Generated from the model against which random executions are tested; a test fails if this file and the
model differ. Each handler waits for a while and then does what its row says; \"before\" means while it
is waiting. A dash marks what would run forever. An error handler is called for `error`, `panicked` and
`timed_out`.

";

/// Wherever the handler does not run, what it would do makes no difference.
fn is_the_same_for_all(circumstance: Circumstance) -> bool {
    let first = expected(Behaviour::ALL[0], circumstance);
    Behaviour::ALL
        .iter()
        .all(|behaviour| expected(*behaviour, circumstance) == first)
}

fn cell(end: Option<End>) -> String {
    let Some(end) = end else { return "—".into() };
    let mut text = end.status.as_str().to_owned();
    match end.timeout_origin {
        Some(TimeoutOrigin::Deadline) => text.push_str(" (deadline)"),
        Some(TimeoutOrigin::Handler) => text.push_str(" (handler)"),
        Some(TimeoutOrigin::Queue) => text.push_str(" (queue)"),
        None => {}
    }
    let marks = [
        (end.is_di_failure, ", dependency failure"),
        (end.overran, ", overran"),
    ];
    text.extend(
        marks
            .iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, text)| *text),
    );
    text
}

fn row(text: &mut String, cells: &[String]) {
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

fn rule(text: &mut String, columns: usize) {
    writeln!(text, "|{}", "---|".repeat(columns)).unwrap();
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let (same, varied): (Vec<_>, Vec<_>) = Circumstance::ALL
        .into_iter()
        .partition(|circumstance| is_the_same_for_all(*circumstance));
    let heads = varied
        .iter()
        .map(|circumstance| circumstance.text().to_owned());
    row(
        &mut text,
        &[vec!["the handler".to_owned()], heads.collect()].concat(),
    );
    rule(&mut text, varied.len() + 1);
    for behaviour in Behaviour::ALL {
        let ends = varied
            .iter()
            .map(|circumstance| cell(expected(behaviour, *circumstance)));
        row(
            &mut text,
            &[vec![behaviour.text().to_owned()], ends.collect()].concat(),
        );
    }
    text.push_str("\nWhatever the handler would do:\n\n| what happens | outcome |\n|---|---|\n");
    for circumstance in same {
        let end = cell(expected(Behaviour::ALL[0], circumstance));
        row(&mut text, &[circumstance.text().to_owned(), end]);
    }
    text.push_str("\nA blocking handler, on a thread of the pool:\n\n");
    let heads = blocking::Circumstance::ALL.map(|circumstance| circumstance.text().to_owned());
    row(
        &mut text,
        &[vec!["the handler".to_owned()], heads.to_vec()].concat(),
    );
    rule(&mut text, heads.len() + 1);
    for behaviour in blocking::Behaviour::ALL {
        let ends =
            blocking::Circumstance::ALL.map(|circumstance| blocking::cell(behaviour, circumstance));
        row(
            &mut text,
            &[vec![behaviour.text().to_owned()], ends.to_vec()].concat(),
        );
    }
    text
}

#[test]
fn a04_the_table_in_the_docs_is_the_models() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/outcomes.md");
    let expected = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/outcomes.md is out of date: run this test with UPDATE_DOCS=1"
    );
}
