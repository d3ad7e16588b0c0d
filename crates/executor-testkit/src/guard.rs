//! A guard that checks the ledger when a test ends.

use executor_core::Ledger;

/// Checks, when it is dropped, that a ledger balances and that no records are still waiting.
///
/// ```
/// # use executor_core::Ledger;
/// # let ledger = Ledger::default();
/// let _guard = executor_testkit::LedgerGuard::new(move || ledger);
/// ```
#[must_use = "it checks when it is dropped, so it must live as long as the test"]
pub struct LedgerGuard {
    read: Box<dyn Fn() -> Ledger + Send + Sync>,
}

impl LedgerGuard {
    /// Creates a guard for the ledger that `read` returns.
    pub fn new(read: impl Fn() -> Ledger + Send + Sync + 'static) -> Self {
        Self {
            read: Box::new(read),
        }
    }
}

impl Drop for LedgerGuard {
    /// # Panics
    ///
    /// The ledger does not balance, or records still wait, unless the test is already panicking.
    fn drop(&mut self) {
        let ledger = (self.read)();
        if !std::thread::panicking() {
            assert!(
                ledger.is_balanced(),
                "the ledger does not balance: {ledger}"
            );
            assert_eq!(ledger.waiting, 0, "records still wait: {ledger}");
        }
    }
}

#[cfg(test)]
mod tests;
