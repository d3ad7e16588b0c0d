//! Tests of `guard.rs`.

use super::*;

#[test]
#[should_panic(expected = "does not balance: offered 2, stored 1")]
fn an_unbalanced_ledger_fails_the_test() {
    let _guard = LedgerGuard::new(|| Ledger {
        offered: 2,
        stored: 1,
        ..Ledger::default()
    });
}
