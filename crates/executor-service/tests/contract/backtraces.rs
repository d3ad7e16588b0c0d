//! Clause A5: backtraces.

use std::sync::Arc;

use executor_core::{Event, Failure, HandlerError, Redactor};
use executor_service::Config;

use crate::support::Fixture;

#[inline(never)]
fn where_the_error_is_made() -> HandlerError {
    "no".into()
}

/// Whatever the environment says: these tests are run with `RUST_BACKTRACE` 0 and 1.
#[tokio::test]
async fn a05_a_backtrace_is_recorded_only_where_asked_for_and_without_the_runtimes_frames() {
    for record_backtraces in [false, true] {
        let fixture =
            Fixture::with(Config::default().with_record_backtraces(record_backtraces)).await;
        fixture
            .run_once(|_: Arc<Event>| async { Err(where_the_error_is_made()) })
            .await;
        let failure = fixture.only_record().await.failure.unwrap();
        let report = failure.report.as_deref().unwrap();
        if record_backtraces {
            assert!(report.starts_with("backtrace:\n"), "{report}");
            assert!(report.contains("where_the_error_is_made"), "{report}");
            assert!(
                report.contains("frames of the runtime left out"),
                "{report}"
            );
            assert!(
                !report.contains(": tokio::") && !report.contains(": executor_core::"),
                "{report}"
            );
            assert!(report.ends_with(": no"), "{report}");
        } else {
            assert_eq!(report, "&str: no");
        }
    }
    // Outside of executions none is made at all.
    let failure = Failure::from_error(&where_the_error_is_made(), &Redactor::NONE);
    assert_eq!(failure.report.as_deref(), Some("&str: no"));
}
