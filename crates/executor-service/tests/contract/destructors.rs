//! Destructors of what handlers own are user code: they may use the service and may panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use executor_core::{Event, HandlerError};
use executor_service::{CommandExecutor, JobHandle, Schedule};
use executor_testkit::MemoryStore;

/// Calls a closure when it is dropped, and counts.
struct OnDrop<F: Fn()> {
    call: F,
    dropped: Arc<AtomicUsize>,
}

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        (self.call)();
    }
}

/// Does the work in a thread of its own, because whoever waits for a lock that it holds waits for ever.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let _runtime = runtime.enter();
        work();
        let _ = done.send(());
    });
    let waited = ended.recv_timeout(Duration::from_secs(30));
    waited.expect("it waits for a lock that it holds, or it panicked");
}

async fn start() -> CommandExecutor {
    let started = CommandExecutor::builder(MemoryStore::new()).start().await;
    started.unwrap()
}

async fn job(
    executor: &CommandExecutor,
    name: &str,
    owned: impl Send + Sync + 'static,
) -> JobHandle {
    let hourly = Schedule::every(Duration::from_secs(3600));
    let job = executor.job("lights", name).schedule(hourly);
    let job = job.handler_fn(move || {
        let _owned = &owned;
        async {}
    });
    job.register().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_a_replaced_handler_may_replace_handlers_when_it_is_dropped() {
    let executor = start().await;
    let dropped = Arc::new(AtomicUsize::new(0));
    let noop = || |_: Arc<Event>| async { Ok::<(), HandlerError>(()) };
    let listener = executor.listener("lights", "hall").topic("hall");
    let listener = listener.handler(noop()).register().await.unwrap();
    let (itself, counter) = (listener.clone(), Arc::clone(&dropped));
    ends(move || {
        let again = itself.clone();
        let owned = OnDrop {
            call: move || again.replace(noop()),
            dropped: counter,
        };
        itself.replace(move |_: Arc<Event>| {
            let _owned = &owned;
            async { Ok::<(), HandlerError>(()) }
        });
        itself.replace(noop());
    });
    let (service, counter) = (executor.clone(), Arc::clone(&dropped));
    ends(move || {
        let again = service.clone();
        let owned = OnDrop {
            call: move || again.on_app_error("other", |_| async { Ok::<(), HandlerError>(()) }),
            dropped: counter,
        };
        service.on_app_error("lights", move |_| {
            let _owned = &owned;
            async { Ok::<(), HandlerError>(()) }
        });
        service.on_app_error("lights", |_| async { Ok::<(), HandlerError>(()) });
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    executor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_a_job_that_leaves_the_schedules_may_ask_for_them_when_it_is_dropped() {
    let executor = start().await;
    let dropped = Arc::new(AtomicUsize::new(0));
    let other = job(&executor, "other", ()).await;
    for name in ["replaced", "removed", "stopped"] {
        let (service, other) = (executor.clone(), other.clone());
        let owned = OnDrop {
            call: move || {
                let state = service.schedule_of(&other);
                assert!(state.is_none_or(|state| state.missed == 0));
            },
            dropped: Arc::clone(&dropped),
        };
        drop(job(&executor, name, owned).await);
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "the schedules hold them");
    let (service, runtime) = (executor.clone(), tokio::runtime::Handle::current());
    ends(move || {
        runtime.block_on(async {
            job(&service, "replaced", ()).await;
            let unscheduled = service.job("lights", "removed").handler_fn(|| async {});
            unscheduled.register().await.unwrap();
        });
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    let (service, runtime) = (executor.clone(), tokio::runtime::Handle::current());
    ends(move || {
        runtime.block_on(service.shutdown(Duration::from_secs(5)));
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn f02_a_stop_ends_well_although_a_scheduled_jobs_destructor_panics() {
    let executor = start().await;
    let dropped = Arc::new(AtomicUsize::new(0));
    for name in ["one", "two", "three"] {
        let owned = OnDrop {
            call: || panic!("while dropping"),
            dropped: Arc::clone(&dropped),
        };
        drop(job(&executor, name, owned).await);
    }
    let report = executor.shutdown(Duration::from_secs(5)).await;
    assert!(report.session_closed);
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
}
