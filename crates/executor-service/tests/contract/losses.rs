//! Clauses C2, C9 and C11: a queue that fills up, what is lost, and what is left out on purpose.

use std::sync::Arc;
use std::time::Duration;

use executor_core::{DropReason, ErrorClass, Event, HandlerError, Status};
use executor_service::{CommandExecutor, Config, Recording, SpoolPlace};
use executor_testkit::{Fault, MemoryStore};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::support::{Fixture, Logs};

/// How often it was said that the queue fills up, and how many waited then.
fn said_crowded(logs: &Logs) -> Vec<String> {
    let lines = logs.of("WARN").into_iter();
    let crowded = lines.filter(|line| line.fields["message"].contains("filling up"));
    crowded.map(|line| line.fields["waiting"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn c02_the_offer_that_finds_three_quarters_waiting_is_warned_of() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    let (logs, _listening) = Logs::listen();
    fixture.store.inject([Fault::Hangs]);
    for _ in 0..750 {
        fixture.run(&listener).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(said_crowded(&logs), [""; 0], "749 were found by the last");
    fixture.run(&listener).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(said_crowded(&logs), ["750"]);

    // It goes on: said again after thirty seconds, not before.
    for second in 0..27 {
        fixture.run(&listener).await;
        assert_eq!(said_crowded(&logs).len(), 1, "after {second} s");
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(5)).await;
    fixture.run(&listener).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(said_crowded(&logs).len(), 2);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c02_an_offer_at_thirty_seconds_is_warned_of_and_so_is_one_that_finds_no_room() {
    let fixture = Fixture::with(Config::default().with_queue_max(4)).await;
    let listener = fixture.noop().await;
    let (logs, _listening) = Logs::listen();
    fixture.store.inject([Fault::Hangs]);
    for _ in 0..4 {
        fixture.run(&listener).await;
    }
    sleep(Duration::from_millis(29_999)).await;
    // From now on there is no room: the queue stays full, and that is said again and again.
    fixture.run(&listener).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(said_crowded(&logs), ["3"]);
    for times in 2..5 {
        fixture.run(&listener).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!(said_crowded(&logs).len(), times);
    }
    assert_eq!(said_crowded(&logs)[1..], ["4", "4", "4"]);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c09_an_episode_of_overflow_is_a_row_of_the_history() {
    let config = Config::default().with_queue_max(10);
    let fixture = Fixture::with(config).await;
    let (hall, door) = (fixture.noop().await, fixture.listener("door", ends).await);
    fixture.store.inject([Fault::Slow(Duration::from_secs(3))]);
    for _ in 0..12 {
        fixture.run(&hall).await;
    }
    sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        fixture.run(&door).await;
    }
    sleep(Duration::from_secs(5)).await;
    let gaps = fixture.store.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = &gaps[0];
    assert_eq!((gap.reason, gap.count), (DropReason::Overflow.into(), 5));
    assert_eq!(gap.session, fixture.executor.session_id());
    let lasted = gap.last_at.as_micros() - gap.first_at.as_micros();
    assert_eq!(lasted, 1_000_000, "from the first loss to the last");
    let named: Vec<_> = gap
        .entities
        .iter()
        .map(|(who, count)| (&*who.name, *count))
        .collect();
    assert_eq!(named, [("door", 3), ("noop", 2)]);

    // The next episode is a row of its own.
    fixture.store.inject([Fault::Slow(Duration::from_secs(3))]);
    for _ in 0..11 {
        fixture.run(&hall).await;
    }
    fixture.stop().await;
    assert_eq!(fixture.store.gaps().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn c09_a_queue_that_stays_full_is_one_episode_however_seldom_it_loses() {
    let config = Config::default().with_queue_max(10);
    let fixture = Fixture::with(config).await;
    let hall = fixture.noop().await;
    let (logs, _listening) = Logs::listen();
    let said = || {
        logs.of("WARN")
            .iter()
            .filter(|line| line.fields["message"].contains("queue recovered"))
            .count()
    };
    fixture
        .store
        .inject([Fault::Slow(Duration::from_secs(150))]);
    for _ in 0..12 {
        fixture.run(&hall).await;
    }
    for _ in 0..2 {
        sleep(Duration::from_secs(60)).await;
        fixture.run(&hall).await;
        assert_eq!(said(), 0, "it still drops");
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(said(), 1);
    let gaps = fixture.store.gaps();
    assert_eq!((gaps.len(), gaps[0].count), (1, 4), "{gaps:?}");
    fixture.stop().await;
}

/// In real time, as whatever is about files: into the smallest spool there is, which is full of records
/// that were tried once, and then is emptied slowly.
#[tokio::test]
async fn c09_while_a_full_spool_is_emptied_its_episode_of_overflow_goes_on() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let config = Config::default()
        .with_spool(SpoolPlace::At(root.path().to_owned()))
        .with_spool_max_bytes(32 << 20)
        .with_batch_max(10);
    let builder = CommandExecutor::builder(store.clone()).config(config);
    let executor = builder.start().await.unwrap();
    let job = executor.job("lights", "long");
    let arguments = format!("\"{}\"", "x".repeat(65_000));
    let job = job.record_arguments(arguments).handler_fn(|| async {});
    let job = job.register().await.unwrap();
    let lost = || executor.ledger().dropped(DropReason::Overflow);
    let run = async || drop(executor.execute(job.run_now()).await.unwrap());
    let fill = async || {
        store.inject(vec![Fault::Busy; 200]);
        let (before, tried) = (lost(), store.batches());
        while lost() == before {
            run().await;
        }
        while store.batches() - tried < executor.ledger().waiting as usize / 10 {
            yield_now().await;
        }
        store.forget_faults();
    };
    fill().await;
    store.inject(vec![Fault::Slow(Duration::from_millis(10)); 30]);
    let (mut known, mut seen) = (lost(), 0);
    let flushed = executor.flush();
    tokio::pin!(flushed);
    while !tokio::select! { _ = &mut flushed => true, () = sleep(Duration::from_millis(1)) => false }
    {
        run().await;
        seen += u32::from(lost() > std::mem::replace(&mut known, lost()));
    }
    assert!(seen > 3, "it stayed full for some batches");
    executor.flush().await.unwrap();
    // What is lost from now on is another episode.
    fill().await;
    let report = executor.shutdown(Duration::from_secs(10)).await;
    let gaps: Vec<u64> = store.gaps().iter().map(|gap| gap.count).collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    let lost = report.ledger.dropped(DropReason::Overflow);
    assert_eq!(gaps.iter().sum::<u64>(), lost, "{gaps:?}");
}

async fn ends(_: Arc<Event>) -> Result<(), HandlerError> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn c09_every_reason_has_its_row_also_what_the_shutdown_gives_up() {
    let cases = [
        (Fault::Fails(ErrorClass::Unstorable), DropReason::Unstorable),
        (Fault::Fails(ErrorClass::Constraint), DropReason::Constraint),
        (Fault::Hangs, DropReason::Shutdown),
    ];
    for (fault, reason) in cases {
        let fixture = Fixture::new().await;
        let listener = fixture.noop().await;
        fixture.store.inject([fault]);
        fixture.run(&listener).await;
        fixture.run(&listener).await;
        fixture.stop().await;
        let gaps = fixture.store.gaps();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!((gaps[0].reason, gaps[0].count), (reason.into(), 2));
        let named = gaps[0].entities.iter();
        let named: Vec<_> = named.map(|(who, count)| (&*who.name, *count)).collect();
        assert_eq!(named, [("noop", 2)], "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c09_what_was_given_up_after_too_many_tries_has_its_row() {
    let fixture = Fixture::new().await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::Busy; 4]);
    fixture.run(&listener).await;
    fixture.executor.flush().await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.store.gaps()[0].reason, DropReason::Exhausted.into());
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c11_anomalies_are_kept_and_what_is_left_out_is_counted() {
    let anomalies = Recording::Anomalies {
        slower_than: Duration::from_secs(1),
        sample_one_in: 0,
    };
    let fixture = Fixture::with(Config::default().with_record_app(anomalies)).await;
    let quick = fixture.noop().await;
    let slow = fixture.listener("slow", |_: Arc<Event>| async {
        sleep(Duration::from_millis(1_001)).await;
        Ok(())
    });
    let slow = slow.await;
    let fails = fixture.listener("fails", |_: Arc<Event>| async { Err("no".into()) });
    let fails = fails.await;
    let framework = fixture.executor.framework_listener("house", "all");
    let framework = framework.topic("#").handler(ends).register().await.unwrap();
    for listener in [&quick, &quick, &slow, &fails, &framework] {
        fixture.run(listener).await;
    }
    yield_now().await;
    let filtered = fixture.executor.filtered();
    assert_eq!(filtered.len(), 1);
    assert_eq!((&*filtered[0].0.name, filtered[0].1), ("noop", 2));
    let records = fixture.stored().await;
    let statuses: Vec<Status> = records.iter().map(|record| record.status).collect();
    assert_eq!(statuses, [Status::Success, Status::Error, Status::Success]);
    let ledger = fixture.ledger();
    assert_eq!((ledger.offered, ledger.stored, ledger.filtered), (5, 3, 2));
}

#[tokio::test(start_paused = true)]
async fn c11_of_the_others_a_sample_is_kept() {
    let fixture = Fixture::with(Config::default().with_queue_max(10_000).with_record_app(
        Recording::Anomalies {
            slower_than: Duration::from_secs(1),
            sample_one_in: 10,
        },
    ))
    .await;
    let listener = fixture.noop().await;
    for _ in 0..5_000 {
        fixture.run(&listener).await;
    }
    let kept = fixture.stored().await.len();
    // Ten standard deviations around one in ten.
    assert!((288..=712).contains(&kept), "{kept}");
}
