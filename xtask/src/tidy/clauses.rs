//! Checks that every clause of `docs/contract.md` has a test named after it, and that every test
//! named after a clause has that clause there.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Context;

use super::{Broken, files};
use crate::shell::root;

const CONTRACT: &str = "docs/contract.md";

pub(super) fn check() -> anyhow::Result<Broken> {
    let contract = fs::read_to_string(root().join(CONTRACT)).context(CONTRACT)?;
    let promised = promised(&contract);
    let mut tested = BTreeSet::new();
    for path in files::sources()? {
        tested.extend(tested_in(&fs::read_to_string(path)?));
    }
    Ok(compare(&promised, &tested))
}

fn compare(promised: &BTreeSet<String>, tested: &BTreeSet<String>) -> Broken {
    let untested = promised.difference(tested).map(|clause| {
        format!(
            "{CONTRACT}: clause {clause} has no test that begins with {}_",
            clause.to_lowercase()
        )
    });
    let unpromised = tested
        .difference(promised)
        .map(|clause| format!("{CONTRACT}: tests are named after {clause}, which is not in it"));
    untested.chain(unpromised).collect()
}

/// Clauses stand at the beginning of a paragraph: `**A01** …`.
fn promised(contract: &str) -> BTreeSet<String> {
    let lines = contract.lines();
    let clauses = lines.filter_map(|line| line.strip_prefix("**")?.split("**").next());
    clauses
        .filter(|word| is_clause(word))
        .map(ToOwned::to_owned)
        .collect()
}

/// Returns the clauses that test functions are named after, and those in the list
/// `on_both_runtimes!(..)`, which makes two tests of each.
fn tested_in(source: &str) -> BTreeSet<String> {
    let mut tested = BTreeSet::new();
    let mut is_test = false;
    let mut is_list = false;
    for line in source.lines().map(str::trim) {
        is_list = (is_list || line == "on_both_runtimes!(") && line != ");";
        let clause = line.split('_').next().unwrap_or_default().to_uppercase();
        if is_list && is_clause(&clause) {
            tested.insert(clause);
        } else if line.starts_with("#[") {
            is_test |= line.contains("test");
        } else if let Some((_, name)) = line.split_once("fn ") {
            let clause = name.split('_').next().unwrap_or_default().to_uppercase();
            if is_test && is_clause(&clause) {
                tested.insert(clause);
            }
            is_test = false;
        }
    }
    tested
}

/// Returns whether a word is a letter from A to J and two digits.
fn is_clause(word: &str) -> bool {
    let mut chars = word.chars();
    let letter = chars
        .next()
        .is_some_and(|letter| ('A'..='J').contains(&letter));
    letter && chars.clone().count() == 2 && chars.all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests;
