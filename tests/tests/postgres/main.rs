//! The promises of the store on a PostgreSQL server, which is also looked at from outside. A test's name begins with the
//! clause of `docs/contract.md` that it holds to.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod conformance;
mod days;
mod opening;
mod outages;
mod sessions;
mod silence;
mod torture;
mod writing;

use executor_testkit::TempPostgres;

/// The server, or `None` where there is none; then this says so.
fn server() -> Option<&'static TempPostgres> {
    let server = TempPostgres::shared();
    if server.is_none() {
        eprintln!(
            "SKIPPED: no programs of a PostgreSQL server (initdb, postgres, psql) are installed"
        );
        assert!(
            std::env::var_os("CI").is_none(),
            "nothing may be skipped here"
        );
    }
    server
}
