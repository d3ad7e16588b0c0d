//! Clauses A17 and A21: what is submitted has its place in line from the call on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use executor_core::guard::GuardOutput;
use executor_core::registration::Overlap;
use executor_core::{Event, HandlerError, Outcome, Refused, Status};
use executor_service::{Config, ListenerHandle};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::support::{Fixture, event, forever, millis, secs, statuses};

on_both_runtimes!(
    a21_a_command_runs_in_a_task_of_the_service_and_its_result_can_be_awaited,
    a21_dropping_what_was_submitted_neither_ends_nor_hides_it,
    a21_it_can_be_cancelled_while_it_runs_and_while_it_waits,
    a21_past_the_bound_it_is_refused_and_room_waits_for_room,
    a21_a_guard_that_says_no_ends_it_at_once_and_one_that_fails_tells_the_error_handler,
    a21_a_shutdown_ends_what_was_submitted,
    a17_under_restart_the_last_of_a_burst_survives,
    a17_what_is_queued_runs_in_the_order_of_the_calls,
    a17_under_single_the_first_of_a_burst_runs,
);

/// A listener whose handlers wait for the gate and note the ids of the events that they have handled.
struct Noting {
    listener: ListenerHandle,
    gate: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<String>>>,
}

async fn noting(fixture: &Fixture, overlap: Overlap, limit: u32) -> Noting {
    let (gate, seen) = (
        Arc::new(Semaphore::new(0)),
        Arc::<Mutex<Vec<String>>>::default(),
    );
    let (opens, noted) = (Arc::clone(&gate), Arc::clone(&seen));
    let handler = move |event: Arc<Event>| {
        let (opens, noted) = (Arc::clone(&opens), Arc::clone(&noted));
        async move {
            opens.acquire().await.unwrap().forget();
            let id = event.id.as_deref().unwrap().to_owned();
            noted.lock().unwrap().push(id);
            Ok(())
        }
    };
    let builder = fixture.builder("noting");
    let builder = builder.overlap(overlap).overlap_limit(limit);
    Noting {
        listener: builder.handler(handler).register().await.unwrap(),
        gate,
        seen,
    }
}

/// Submits twelve events. Opens the gate for all of them, or when all but one have ended, for that one.
async fn burst(fixture: &Fixture, noting: &Noting, survivor: Option<usize>) -> Vec<Status> {
    let submit = |number: usize| {
        let event = event().with_id(number.to_string());
        let command = noting.listener.invoke(event);
        fixture.executor.submit(command).unwrap()
    };
    let submitted = (0..12).map(submit);
    let (last, mut others): (Vec<_>, Vec<_>) = submitted
        .enumerate()
        .partition(|(number, _)| survivor == Some(*number));
    if survivor.is_none() {
        noting.gate.add_permits(12);
    }
    let mut ended = Vec::new();
    for (_, one) in others.drain(..) {
        ended.push(one.await.status());
    }
    noting.gate.add_permits(1);
    for (number, one) in last {
        ended.insert(number, one.await.status());
    }
    ended
}

async fn a21_a_command_runs_in_a_task_of_the_service_and_its_result_can_be_awaited() {
    let fixture = Fixture::new().await;
    let fails = fixture
        .listener("fails", |_: Arc<Event>| async { Err("no".into()) })
        .await;
    let submitted = fixture.executor.submit(fails.invoke(event())).unwrap();
    let id = submitted.execution_id();
    let result = submitted.await;
    assert_eq!((result.execution_id, result.status()), (id, Status::Error));
    assert_eq!(fixture.only_record().await.execution_id, id);
}

async fn a21_dropping_what_was_submitted_neither_ends_nor_hides_it() {
    let fixture = Fixture::new().await;
    let noting = noting(&fixture, Overlap::Single, 1).await;
    let submitted = fixture.executor.submit(noting.listener.invoke(event()));
    drop(submitted.unwrap());
    noting.gate.add_permits(1);
    assert_eq!(fixture.only_record().await.status, Status::Success);
    assert_eq!(*noting.seen.lock().unwrap(), ["e-1"]);
}

async fn a21_it_can_be_cancelled_while_it_runs_and_while_it_waits() {
    let fixture = Fixture::new().await;
    let hangs = fixture
        .builder("hangs")
        .no_timeout()
        .overlap(Overlap::Queued);
    let hangs = hangs
        .handler(|_: Arc<Event>| forever())
        .register()
        .await
        .unwrap();
    let submit = || fixture.executor.submit(hangs.invoke(event())).unwrap();
    let (runs, waits, next) = (submit(), submit(), submit());
    sleep(millis(20)).await;
    waits.cancel();
    assert_eq!(waits.await.outcome, Outcome::Cancelled);
    runs.cancel();
    assert_eq!(runs.await.outcome, Outcome::Cancelled);
    // The place that was given up did not hold up the line.
    sleep(millis(20)).await;
    assert_eq!(fixture.executor.running(), 1);
    next.cancel();
    assert_eq!(next.await.outcome, Outcome::Cancelled);
    assert_eq!(statuses(&fixture.stored().await), [Status::Cancelled; 3]);
}

async fn a21_past_the_bound_it_is_refused_and_room_waits_for_room() {
    let config = Config::default().with_submitted_max(3);
    let fixture = Fixture::with(config).await;
    let hangs = fixture
        .builder("hangs")
        .no_timeout()
        .overlap(Overlap::Parallel);
    let hangs = hangs
        .handler(|_: Arc<Event>| forever())
        .register()
        .await
        .unwrap();
    let submit = || fixture.executor.submit(hangs.invoke(event()));
    fixture.executor.room().await;
    let submitted: Vec<_> = (0..3).map(|_| submit().unwrap()).collect();
    assert_eq!(submit().unwrap_err(), Refused::Busy);
    assert_eq!(fixture.executor.refused(), 1);
    let patience = millis(200);
    let room = tokio::time::timeout(patience, fixture.executor.room());
    assert!(room.await.is_err(), "there is none");
    submitted[1].cancel();
    fixture.executor.room().await;
    submit().unwrap();
    assert_eq!(submit().unwrap_err(), Refused::Busy);
    let report = fixture.stop().await;
    assert_eq!(
        (report.ledger.offered, report.cancelled),
        (4, 3),
        "refusals leave no record"
    );
}

async fn a21_a_guard_that_says_no_ends_it_at_once_and_one_that_fails_tells_the_error_handler() {
    let fixture = Fixture::new().await;
    let told = Arc::new(AtomicUsize::new(0));
    let guarded = |name: &str, answer: fn() -> Result<bool, HandlerError>| {
        let told = Arc::clone(&told);
        let builder = fixture
            .builder(name)
            .only_if(move |_: &Event| answer().into_answer());
        let builder = builder.on_error(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
            async {}
        });
        builder.handler(|_: Arc<Event>| async { panic!("it must not run") })
    };
    let no = guarded("no", || Ok(false)).register().await.unwrap();
    let fails = guarded("fails", || Err("the sensor is silent".into()))
        .register()
        .await
        .unwrap();
    // On a thread that knows no runtime.
    let (executor, commands) = (
        fixture.executor.clone(),
        [no.invoke(event()), fails.invoke(event())],
    );
    let submitted =
        std::thread::spawn(move || commands.map(|command| executor.submit(command).unwrap()));
    let [no, fails] = submitted.join().unwrap();
    assert_eq!(
        (no.await.status(), fails.await.status()),
        (Status::Skipped, Status::Error)
    );
    sleep(millis(20)).await;
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(
        statuses(&fixture.stored().await),
        [Status::Skipped, Status::Error]
    );
}

async fn a21_a_shutdown_ends_what_was_submitted() {
    let fixture = Fixture::new().await;
    let hangs = fixture
        .builder("hangs")
        .no_timeout()
        .overlap(Overlap::Queued);
    let hangs = hangs
        .handler(|_: Arc<Event>| forever())
        .register()
        .await
        .unwrap();
    let submit = || fixture.executor.submit(hangs.invoke(event()));
    let submitted = [submit().unwrap(), submit().unwrap()];
    sleep(millis(20)).await;
    let report = fixture.executor.shutdown(secs(2)).await;
    assert_eq!((report.cancelled, report.still_running), (2, 0));
    for one in submitted {
        assert_eq!(one.await.status(), Status::Cancelled);
    }
    assert_eq!(submit().unwrap_err(), Refused::Stopping);
    assert_eq!(statuses(&fixture.store.records()), [Status::Cancelled; 2]);
}

/// So many bursts: as many as `BURSTS` says.
fn bursts() -> usize {
    std::env::var("BURSTS").map_or(60, |text| text.parse().unwrap())
}

async fn a17_under_restart_the_last_of_a_burst_survives() {
    for _ in 0..bursts() {
        let fixture = Fixture::new().await;
        let noting = noting(&fixture, Overlap::Restart, 1).await;
        let ended = burst(&fixture, &noting, Some(11)).await;
        assert_eq!(*noting.seen.lock().unwrap(), ["11"]);
        assert_eq!(ended[11], Status::Success);
        assert_eq!(
            ended
                .iter()
                .filter(|status| **status == Status::Success)
                .count(),
            1
        );
        fixture.stop().await;
    }
}

async fn a17_what_is_queued_runs_in_the_order_of_the_calls() {
    for _ in 0..bursts() {
        let fixture = Fixture::new().await;
        let noting = noting(&fixture, Overlap::Queued, 20).await;
        burst(&fixture, &noting, None).await;
        let expected: Vec<_> = (0..12).map(|number| number.to_string()).collect();
        assert_eq!(*noting.seen.lock().unwrap(), expected);
        fixture.stop().await;
    }
}

async fn a17_under_single_the_first_of_a_burst_runs() {
    for _ in 0..bursts() {
        let fixture = Fixture::new().await;
        let noting = noting(&fixture, Overlap::Single, 1).await;
        let ended = burst(&fixture, &noting, Some(0)).await;
        assert_eq!(*noting.seen.lock().unwrap(), ["0"]);
        assert_eq!(ended[1..], [Status::Skipped; 11]);
        fixture.stop().await;
    }
}

/// Once room was claimed one record is owed, also if the runtime ends.
#[test]
fn a21_the_end_of_the_runtime_records_what_was_submitted_as_cancelled() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (fixture, hangs, runs) = first.block_on(async {
        let fixture = Fixture::new().await;
        let hangs = fixture
            .builder("hangs")
            .no_timeout()
            .overlap(Overlap::Parallel);
        let hangs = hangs
            .handler(|_: Arc<Event>| forever())
            .register()
            .await
            .unwrap();
        let runs = fixture.executor.submit(hangs.invoke(event())).unwrap();
        (fixture, hangs, runs)
    });
    drop(first);
    let second = runtime();
    assert_eq!(second.block_on(runs).status(), Status::Cancelled);
    let late = fixture.executor.submit(hangs.invoke(event())).unwrap();
    assert_eq!(second.block_on(late).status(), Status::Cancelled);
    assert_eq!(fixture.executor.running(), 0);
    assert_eq!((fixture.ledger().offered, fixture.ledger().waiting), (2, 2));
    second.block_on(fixture.stop());
}
