//! Tests of `clauses.rs`.

use super::*;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn clauses_and_tests_are_found_and_compared() {
    let contract = "## A\n\n**A01** Begins.\nmore **A09** inside\n**Not** one\n**B02** Ends.\n";
    let source = "#[test]\nfn a01_begins() {}\n#[tokio::test(start_paused = true)]\n\
                  async fn c03_wakes() {}\nfn d05_helper() {}\n#[inline]\nfn e01_no() {}\n";
    let (promised, tested) = (promised(contract), tested_in(source));
    assert_eq!(promised, set(&["A01", "B02"]));
    assert_eq!(tested, set(&["A01", "C03"]));
    assert_eq!(compare(&promised, &tested).len(), 2);
}
