//! Clauses A1, A4 and A17: any future can be run as an execution, and what it returns comes back.

use std::fmt;
use std::time::Duration;

use executor_core::registration::Overlap;
use executor_core::{Event, Refused, Status, current_execution_id};
use executor_service::JobHandle;
use tokio::time::sleep;

use crate::support::{Fixture, forever, secs};

on_both_runtimes!(
    a01_a_future_that_borrows_is_an_execution_and_its_value_comes_back,
    a04_a_future_that_did_not_return_has_no_value,
    a04_an_error_is_recorded_and_given_back,
    a17_a_future_takes_its_place_under_the_overlap_rule,
);

async fn job(fixture: &Fixture) -> JobHandle {
    let job = fixture.executor.job("web", "hook").timeout(secs(10));
    job.for_wrapping().register().await.unwrap()
}

async fn a01_a_future_that_borrows_is_an_execution_and_its_value_comes_back() {
    let fixture = Fixture::new().await;
    let hook = job(&fixture).await;
    let mut numbers = vec![20, 22];
    let wrapped = hook.wrap(async {
        numbers.push(0);
        (current_execution_id(), numbers.iter().sum::<i32>())
    });
    let wrapped = wrapped.await.unwrap();
    let id = wrapped.result.execution_id;
    assert_eq!(wrapped.value, Some((Some(id), 42)));
    assert_eq!(numbers.len(), 3);
    let listener = fixture
        .builder("hall")
        .for_wrapping()
        .register()
        .await
        .unwrap();
    let heard = listener.wrap(Event::new("motion.hall").with_id("7"), async { "heard" });
    assert_eq!(heard.await.unwrap().value, Some("heard"));
    fixture.stop().await;
    let records = fixture.store.records();
    assert_eq!((records.len(), records[0].execution_id), (2, id));
    assert!(
        records
            .iter()
            .all(|record| record.status == Status::Success)
    );
    assert!(matches!(hook.wrap(async {}).await, Err(Refused::Stopping)));
}

async fn a04_a_future_that_did_not_return_has_no_value() {
    let fixture = Fixture::new().await;
    let hook = job(&fixture).await;
    let late = hook.wrap(forever()).await.unwrap();
    assert_eq!(
        (late.result.status(), late.value.is_none()),
        (Status::TimedOut, true)
    );
    let panicked = hook
        .wrap(async { panic!("the roof is leaking") })
        .await
        .unwrap();
    let none: Option<()> = panicked.value;
    assert_eq!((panicked.result.status(), none), (Status::Panicked, None));
    hook.pause();
    assert!(matches!(hook.wrap(async {}).await, Err(Refused::Paused)));
    hook.resume();
    // What runs without a future has nothing to run, and says so.
    let nothing = fixture.executor.execute(hook.run_now()).await.unwrap();
    assert_eq!(nothing.status(), Status::Error);
    fixture.stop().await;
}

/// An error that is no [`std::error::Error`], as those of `anyhow` are not.
#[derive(Debug, PartialEq)]
struct Leak(u32);

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.alternate() {
            true => write!(f, "leak {}: the valve is open", self.0),
            false => write!(f, "leak {}", self.0),
        }
    }
}

async fn a04_an_error_is_recorded_and_given_back() {
    let fixture = Fixture::new().await;
    let hook = job(&fixture).await;
    let wrapped = hook
        .wrap_result(async { Err::<(), _>(Leak(3)) })
        .await
        .unwrap();
    assert_eq!(
        (wrapped.result.status(), wrapped.value),
        (Status::Error, Some(Err(Leak(3))))
    );
    let well = hook.wrap_result(async { Ok::<_, Leak>(5) }).await.unwrap();
    assert_eq!(
        (well.result.status(), well.value),
        (Status::Success, Some(Ok(5)))
    );
    fixture.stop().await;
    let failure = fixture.store.records()[0].failure.clone().unwrap();
    assert_eq!(failure.message, "leak 3: the valve is open");
    assert!(
        failure.error_type.ends_with("Leak"),
        "{}",
        failure.error_type
    );
}

async fn a17_a_future_takes_its_place_under_the_overlap_rule() {
    let fixture = Fixture::new().await;
    let job = fixture.executor.job("web", "hook").overlap(Overlap::Single);
    let hook = job.for_wrapping().register().await.unwrap();
    let other = hook.clone();
    let long = async { other.wrap(sleep(secs(5))).await.unwrap().result.status() };
    let short = async {
        sleep(secs(1)).await;
        hook.wrap(async { Duration::ZERO }).await.unwrap()
    };
    let (long, short) = tokio::join!(long, short);
    assert_eq!(
        (long, short.result.status()),
        (Status::Success, Status::Skipped)
    );
    assert_eq!(short.value, None);
    fixture.stop().await;
}
