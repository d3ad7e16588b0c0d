//! Clause A13: handlers that block, on threads of their own. Real threads and real time: a thread
//! does not stand still with tokio's clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

use executor_core::context::cancellation;
use executor_core::{BlockingPool, Event, Outcome, Status, TimeoutOrigin, current_execution_id};
use executor_service::{Config, ListenerHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, Logs, event};

const DEADLINE: Duration = Duration::from_millis(50);

/// Holds threads until it is opened.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn wait(&self) {
        let (is_open, bell) = &*self.0;
        let waited = bell.wait_while(is_open.lock().unwrap(), |is_open| !*is_open);
        drop(waited.unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Drop for Door {
    /// A failed test must not wait for its threads.
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) == 1 || std::thread::panicking() {
            self.open();
        }
    }
}

async fn of_threads(blocking_threads: usize) -> Fixture {
    Fixture::with(Config::default().with_blocking_threads(blocking_threads)).await
}

/// A listener that waits at the door.
async fn waits_at(fixture: &Fixture, door: &Door, name: &str) -> ListenerHandle {
    waits_until(fixture, door, name, DEADLINE).await
}

async fn waits_until(
    fixture: &Fixture,
    door: &Door,
    name: &str,
    deadline: Duration,
) -> ListenerHandle {
    let door = door.clone();
    let builder = fixture.builder(name).timeout(deadline);
    let builder = builder.overlap(executor_core::registration::Overlap::Parallel);
    let blocking = builder.blocking_handler(move |_| door.wait());
    blocking.register().await.unwrap()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never was so");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a13_a_blocking_handler_runs_on_a_named_thread_of_the_pool_in_its_execution() {
    let fixture = Fixture::new().await;
    let here = std::thread::current().id();
    let handler = move |event: Arc<Event>| {
        assert_ne!(std::thread::current().id(), here);
        assert_eq!(&*event.topic, "motion.hall");
        let name = std::thread::current().name().map(ToOwned::to_owned);
        let id = current_execution_id().expect("inside an execution");
        Err::<(), _>(format!("{} {id}", name.expect("a name")))
    };
    let listener = fixture.builder("blocks").blocking_handler(handler);
    let listener = listener.register().await.unwrap();
    let job = fixture
        .executor
        .job("lights", "sums")
        .blocking_handler(|| ());
    let job = job.register().await.unwrap();
    fixture.run(&listener).await;
    fixture.executor.execute(job.run_now()).await.unwrap();
    let records = fixture.stored().await;
    let message = &records[0].failure.as_ref().unwrap().message;
    assert_eq!(*message, format!("blocking-1 {}", records[0].execution_id));
    assert_eq!(records[1].status, Status::Success);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_panic_on_a_thread_of_the_pool_is_the_executions_own_with_its_place() {
    let fixture = Fixture::new().await;
    let handler = |_: Arc<Event>| -> Result<(), String> { panic!("on the other side") };
    let listener = fixture.builder("panics").blocking_handler(handler);
    let listener = listener.register().await.unwrap();
    for _ in 0..3 {
        assert_eq!(fixture.run(&listener).await.status(), Status::Panicked);
    }
    let records = fixture.stored().await;
    let failure = records[2].failure.as_ref().unwrap();
    assert_eq!(failure.message, "on the other side");
    assert!(failure.report.as_ref().unwrap().contains("blocking.rs:"));
    assert!(!records[2].flags.thread_leaked);
}

#[tokio::test]
async fn a13_one_that_runs_past_its_deadline_is_recorded_as_leaked_and_named() {
    let fixture = of_threads(1).await;
    let (logs, _listening) = Logs::listen();
    let door = Door::default();
    let listener = waits_at(&fixture, &door, "stuck").await;
    assert_eq!(fixture.run(&listener).await.status(), Status::TimedOut);
    let leaked = fixture.executor.leaked_threads();
    assert_eq!(leaked.len(), 1);
    assert_eq!(leaked[0].to_string(), "blocking-1 (listener lights.stuck)");
    let warned = logs.of("WARN");
    let warned = warned
        .iter()
        .find(|line| line.fields.contains_key("thread"));
    assert_eq!(warned.unwrap().fields["thread"], "blocking-1");

    // Its thread was replaced, in a pool of one.
    let quick = fixture.builder("quick").blocking_handler(|_| ());
    let quick = quick.register().await.unwrap();
    assert_eq!(fixture.run(&quick).await.status(), Status::Success);
    door.open();
    until(|| fixture.executor.leaked_threads().is_empty()).await;
    let records = fixture.stored().await;
    assert!(records[0].flags.thread_leaked && records[0].duration >= DEADLINE);
    assert!(!records[1].flags.thread_leaked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_cancellation_leaves_a_thread_behind_as_a_deadline_does() {
    let fixture = Fixture::new().await;
    let door = Door::default();
    let inside = door.clone();
    let builder = fixture.builder("stuck").no_timeout();
    let listener = builder.blocking_handler(move |_| inside.wait());
    let listener = listener.register().await.unwrap();
    let token = CancellationToken::new();
    let execution = fixture
        .executor
        .execute_until(listener.invoke(event()), &token);
    let (result, ()) = tokio::join!(execution, async {
        tokio::time::sleep(DEADLINE).await;
        token.cancel();
    });
    assert_eq!(result.unwrap().status(), Status::Cancelled);
    let dropped = timeout(DEADLINE, fixture.run(&listener)).await;
    assert!(dropped.is_err());
    assert_eq!(fixture.executor.leaked_threads().len(), 2);
    door.open();
    let records = fixture.stored().await;
    assert!(
        records.iter().all(|record| record.flags.thread_leaked),
        "{records:?}"
    );
    assert!(records.iter().all(|record| record.duration >= DEADLINE));
}

#[tokio::test]
async fn a13_a_blocking_handler_that_hears_of_its_cancellation_can_end_in_grace() {
    let fixture = Fixture::with(Config::default().with_cancel_grace(Duration::from_secs(20))).await;
    let handler = |_: Arc<Event>| {
        let cancelled = cancellation();
        tokio::runtime::Handle::current().block_on(cancelled.cancelled());
    };
    let listener = fixture.builder("polite").no_timeout();
    let listener = listener.blocking_handler(handler).register().await.unwrap();
    let token = CancellationToken::new();
    let execution = fixture
        .executor
        .execute_until(listener.invoke(event()), &token);
    let (result, ()) = tokio::join!(execution, async { token.cancel() });
    assert_eq!(result.unwrap().status(), Status::Success);
    assert!(!fixture.only_record().await.flags.thread_leaked);
}

#[tokio::test]
async fn a13_a_thread_that_is_left_behind_hears_that_it_is_over() {
    let fixture = of_threads(1).await;
    // One that returned at once could be back before anybody looks.
    let may_end = Arc::new(AtomicBool::new(false));
    let waits_for = Arc::clone(&may_end);
    let listens = move |_: Arc<Event>| {
        let over = cancellation();
        tokio::runtime::Handle::current().block_on(over.cancelled());
        while !waits_for.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let listener = fixture.builder("listens").timeout(DEADLINE);
    let listener = listener.blocking_handler(listens.clone());
    let listener = listener.register().await.unwrap();
    assert_eq!(fixture.run(&listener).await.status(), Status::TimedOut);
    may_end.store(true, Ordering::SeqCst);
    until(|| fixture.executor.leaked_threads().is_empty()).await;
    may_end.store(false, Ordering::SeqCst);
    let patient = fixture.builder("patient").no_timeout();
    let patient = patient.blocking_handler(listens).register().await.unwrap();
    let dropped = timeout(DEADLINE, fixture.run(&patient)).await;
    assert!(dropped.is_err(), "{dropped:?}");
    may_end.store(true, Ordering::SeqCst);
    until(|| fixture.executor.leaked_threads().is_empty()).await;
    let records = fixture.stored().await;
    assert!(records.iter().all(|record| record.flags.thread_leaked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_sixty_four_are_replaced_and_past_that_commands_wait_until_their_deadline() {
    let fixture = of_threads(2).await;
    let door = Door::default();
    // Each must have its thread before it passes, on a slow day too.
    let stuck = waits_until(&fixture, &door, "stuck", DEADLINE * 3).await;
    let quick = fixture.builder("quick").timeout(DEADLINE);
    let quick = quick.blocking_handler(|_| ()).register().await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..66 {
        statuses.push(fixture.run(&stuck).await.status());
    }
    assert_eq!(statuses, [Status::TimedOut; 66]);
    assert_eq!(
        fixture.executor.leaked_threads().len(),
        66,
        "64 and the two of the pool"
    );

    // No thread is left: it waits for one until its deadline, and leaves none behind.
    let begun = Instant::now();
    assert_eq!(fixture.run(&quick).await.status(), Status::TimedOut);
    assert!(begun.elapsed() >= DEADLINE);
    assert_eq!(fixture.executor.leaked_threads().len(), 66);
    door.open();
    until(|| fixture.executor.leaked_threads().is_empty()).await;
    assert_eq!(fixture.run(&quick).await.status(), Status::Success);
    let records = fixture.stored().await;
    assert!(
        records[..66]
            .iter()
            .all(|record| record.flags.thread_leaked)
    );
    assert!(!records[66].flags.thread_leaked && !records[67].flags.thread_leaked);
}

#[tokio::test]
async fn a13_the_pool_is_no_larger_than_it_may_be_and_warns_at_three_quarters() {
    let fixture = of_threads(4).await;
    let (logs, _listening) = Logs::listen();
    let door = Door::default();
    let (count, most) = (Arc::new(Mutex::new((0, 0))), door.clone());
    let counter = Arc::clone(&count);
    let builder = fixture.builder("counts").no_timeout();
    let builder = builder.overlap(executor_core::registration::Overlap::Parallel);
    let listener = builder.blocking_handler(move |_| {
        let mut now = counter.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        drop(now);
        most.wait();
        counter.lock().unwrap().0 -= 1;
    });
    let listener = listener.register().await.unwrap();
    let saturated = || {
        let lines = logs.of("WARN");
        let is_it =
            |line: &&crate::support::Line| line.fields["message"].contains("three quarters");
        lines.iter().filter(is_it).count()
    };
    let mut runs = Vec::new();
    for number in 0..10 {
        let run = Box::pin(fixture.run(&listener));
        runs.push(run);
        // Polled once, so that it is on its way.
        let last = runs.last_mut().unwrap();
        assert!(timeout(Duration::ZERO, last).await.is_err());
        assert_eq!(saturated(), usize::from(number >= 2), "{number}");
    }
    until(|| count.lock().unwrap().0 == 4).await;
    door.open();
    for run in runs {
        assert_eq!(run.await.status(), Status::Success);
    }
    assert_eq!(count.lock().unwrap().1, 4);
    fixture.stop().await;
}

#[test]
fn a13_the_pool_has_four_threads_more_than_cores_and_at_most_thirty_two() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = Config::default().blocking_threads;
    assert_eq!(threads, if cores < 28 { cores + 4 } else { 32 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_the_shutdown_joins_what_ends_in_time_and_names_what_does_not() {
    let fixture = of_threads(8).await;
    let (ends, stays) = (Door::default(), Door::default());
    let one = waits_at(&fixture, &ends, "ends").await;
    let other = waits_at(&fixture, &stays, "stays").await;
    fixture.run(&one).await;
    fixture.run(&other).await;
    assert_eq!(fixture.executor.leaked_threads().len(), 2);
    ends.open();
    let report = fixture.executor.shutdown(Duration::from_millis(400)).await;
    let names: Vec<String> = report
        .leaked_threads
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["blocking-2 (listener lights.stays)"]);
    assert_eq!(report.ledger.stored, 2);
    stays.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_one_that_never_got_a_thread_says_so() {
    let config = Config::default().with_blocking_threads(1);
    let fixture = Fixture::with(config).await;
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (runs, has_begun) = mpsc::channel::<()>();
    let hangs = fixture
        .builder("hangs")
        .no_timeout()
        .blocking_handler(move |_| {
            runs.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        });
    let hangs = hangs.register().await.unwrap();
    let hung = fixture.executor.submit(hangs.invoke(event())).unwrap();
    has_begun.recv().unwrap();
    let healthy = fixture
        .builder("healthy")
        .timeout(Duration::from_millis(100))
        .blocking_handler(|_| {});
    let healthy = healthy.register().await.unwrap();
    let outcome = fixture.run(&healthy).await;
    let Outcome::TimedOut(origin, failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(origin, TimeoutOrigin::Queue);
    assert!(
        failure.message.contains("no thread of the blocking pool"),
        "{}",
        failure.message
    );
    drop(release);
    hung.await;
    assert_eq!(fixture.run(&healthy).await, Outcome::Success);
    let records = fixture.stored().await;
    let origins: Vec<_> = records
        .iter()
        .map(|record| record.flags.timeout_origin)
        .collect();
    assert_eq!(origins, [Some(TimeoutOrigin::Queue), None, None]);
    assert!(records.iter().all(|record| !record.flags.thread_leaked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_one_that_has_given_up_waiting_for_a_thread_and_goes_on_is_late_by_itself() {
    let fixture = Fixture::new().await;
    let (door, pool) = (Door::default(), BlockingPool::new(1));
    let (hung, held) = (pool.clone(), door.clone());
    let hung = hung.run("hangs", move || {
        held.wait();
        Ok(())
    });
    let late = fixture.builder("late").timeout(DEADLINE);
    let late = late.handler(move |_: Arc<Event>| {
        let pool = pool.clone();
        async move {
            // The only thread is taken.
            let waited = timeout(Duration::from_millis(5), pool.run("waits", || Ok(())));
            assert!(waited.await.is_err());
            std::future::pending().await
        }
    });
    let late = late.register().await.unwrap();
    let outcome = fixture.run(&late).await;
    assert!(
        matches!(outcome, Outcome::TimedOut(TimeoutOrigin::Deadline, _)),
        "{outcome:?}"
    );
    door.open();
    hung.await.unwrap();
    let flags = fixture.stored().await[0].flags;
    assert_eq!(flags.timeout_origin, Some(TimeoutOrigin::Deadline));
}
