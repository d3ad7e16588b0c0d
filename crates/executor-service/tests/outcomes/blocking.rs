//! The same for handlers that block: real threads, so real time, and every combination a few times.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::registration::Overlap;
use executor_core::{Event, ExecutionRecord, Status};
use executor_service::{CommandExecutor, Config};
use executor_testkit::{LedgerGuard, MemoryStore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

macro_rules! closed_set {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($variant),+ }

        impl $name {
            pub(crate) const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

closed_set!(Behaviour {
    Returns = "returns `Ok`",
    Fails = "returns an error",
    Panics = "panics",
    Stays = "does not come back",
});

closed_set!(Circumstance {
    Undisturbed = "comes back in time",
    DeadlinePasses = "its deadline passes before",
    Cancelled = "cancelled before",
    Dropped = "dropped before",
});

/// The one right outcome, and whether a thread is left behind; `None` where it would run for ever.
fn expected(behaviour: Behaviour, circumstance: Circumstance) -> Option<(Status, bool)> {
    match (circumstance, behaviour) {
        (Circumstance::Undisturbed, Behaviour::Returns) => Some((Status::Success, false)),
        (Circumstance::Undisturbed, Behaviour::Fails) => Some((Status::Error, false)),
        (Circumstance::Undisturbed, Behaviour::Panics) => Some((Status::Panicked, false)),
        (Circumstance::Undisturbed, Behaviour::Stays) => None,
        (Circumstance::DeadlinePasses, _) => Some((Status::TimedOut, true)),
        (Circumstance::Cancelled | Circumstance::Dropped, _) => Some((Status::Cancelled, true)),
    }
}

pub(crate) fn cell(behaviour: Behaviour, circumstance: Circumstance) -> String {
    match expected(behaviour, circumstance) {
        None => "—".into(),
        Some((status, false)) => status.as_str().into(),
        Some((status, true)) => format!("{}, thread leaked", status.as_str()),
    }
}

/// What an event tells the handler, and what holds it until it may go on.
struct Script {
    behaviour: Behaviour,
    begun: Sender<()>,
    go: Mutex<Receiver<()>>,
}

fn act(event: &Event) -> Result<(), String> {
    let script = event.payload::<Script>().expect("every event has one");
    let _ = script.begun.send(());
    // Until the test lets go of the other end.
    let _ = script.go.lock().unwrap().recv();
    match script.behaviour {
        Behaviour::Returns | Behaviour::Stays => Ok(()),
        Behaviour::Fails => Err("no".into()),
        Behaviour::Panics => panic!("oh"),
    }
}

const DEADLINE: Duration = Duration::from_millis(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_every_combination_of_a_blocking_handler_ends_in_its_one_right_outcome() {
    let store = MemoryStore::new();
    let builder =
        CommandExecutor::builder(store.clone()).config(Config::default().with_blocking_threads(2));
    let executor = builder.start().await.unwrap();
    let watched = executor.clone();
    let _ledger = LedgerGuard::new(move || watched.ledger());
    let mut cells = Vec::new();
    for behaviour in Behaviour::ALL {
        for circumstance in Circumstance::ALL {
            if expected(behaviour, circumstance).is_some() {
                run(&executor, behaviour, circumstance).await;
                cells.push((behaviour, circumstance));
            }
        }
    }
    executor.shutdown(Duration::from_secs(20)).await;
    let found: Vec<_> = store.records().iter().map(seen).collect();
    let expected: Vec<_> = cells.iter().filter_map(|(b, c)| expected(*b, *c)).collect();
    assert_eq!(found, expected, "{cells:?}");
}

fn seen(record: &ExecutionRecord) -> (Status, bool) {
    (record.status, record.flags.thread_leaked)
}

async fn run(executor: &CommandExecutor, behaviour: Behaviour, circumstance: Circumstance) {
    let builder = executor
        .listener("house", "blocks")
        .topic("t")
        .overlap(Overlap::Parallel);
    let builder = match circumstance {
        Circumstance::DeadlinePasses => builder.timeout(DEADLINE),
        _ => builder.no_timeout(),
    };
    let listener = builder.blocking_handler(|event: Arc<Event>| act(&event));
    let listener = listener.register().await.unwrap();
    let (begun, has_begun) = channel();
    let (let_go, go) = channel::<()>();
    let script = Script {
        behaviour,
        begun,
        go: Mutex::new(go),
    };
    let token = CancellationToken::new();
    let command = listener.invoke(Event::new("t").with_payload(script));
    let execution = executor.execute_until(command, &token);
    match circumstance {
        Circumstance::Undisturbed => {
            drop(let_go);
            execution.await.unwrap();
            return;
        }
        Circumstance::DeadlinePasses => drop(execution.await.unwrap()),
        Circumstance::Cancelled => {
            let cancel = async {
                until_begun(&has_begun).await;
                token.cancel();
            };
            let (result, ()) = tokio::join!(execution, cancel);
            result.unwrap();
        }
        Circumstance::Dropped => {
            tokio::select! {
                _ = execution => unreachable!("nobody lets it go"),
                () = until_begun(&has_begun) => {}
            }
        }
    }
    // Now it may come back: too late.
    drop(let_go);
    let all_back = async {
        while !executor.leaked_threads().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), all_back).await.unwrap();
}

async fn until_begun(has_begun: &Receiver<()>) {
    while has_begun.try_recv().is_err() {
        sleep(Duration::from_millis(1)).await;
    }
}
