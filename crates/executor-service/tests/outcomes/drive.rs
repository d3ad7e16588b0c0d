//! A service with a listener for every circumstance, whose handlers do what the event tells them.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use executor_core::context::{cancellation, inherit};
use executor_core::registration::Overlap;
use executor_core::{
    Command, Event, ExecutionId, ExecutionRecord, HandlerError, HandlerFailure, HandlerFuture,
    InvokeHandler, current_execution_id,
};
use executor_service::registration::ListenerBuilder;
use executor_service::{CommandExecutor, Config, ListenerHandle};
use executor_testkit::{LedgerGuard, MemoryStore, TestClock};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::model::{Behaviour, Case, Circumstance, End, Report};

/// What an event tells the handler to do.
struct Script {
    case: Case,
    token: CancellationToken,
}

/// Longer than everything else takes together.
pub(crate) const LONG: Duration = Duration::from_secs(10);
/// How long a thread is blocked, and the deadline that is missed by it.
const BLOCKED: Duration = Duration::from_millis(2);
const SHORT: Duration = Duration::from_millis(1);

pub(crate) struct House {
    executor: CommandExecutor,
    store: MemoryStore,
    free: ListenerHandle,
    guarded: ListenerHandle,
    single: ListenerHandle,
    queued: ListenerHandle,
    told: Arc<Mutex<HashSet<ExecutionId>>>,
    /// Ends the run that stands in the way of others.
    go: Arc<Notify>,
    _ledger: LedgerGuard,
}

impl House {
    pub(crate) async fn open(cancel_grace: Duration) -> Self {
        let store = MemoryStore::new();
        let builder = CommandExecutor::builder(store.clone()).clock(TestClock::new());
        // A busy machine may hold up any poll.
        let builder = builder.config(
            Config::default()
                .with_cancel_grace(cancel_grace)
                .with_queue_max(100_000)
                .with_slow_poll(Some(Duration::from_secs(3_600))),
        );
        let executor = builder.start().await.unwrap();
        let told: Arc<Mutex<HashSet<ExecutionId>>> = Arc::default();
        let go = Arc::new(Notify::new());
        let (ears, is_told) = (Arc::clone(&told), executor.clone());
        let listener = move |name: &str, overlap| {
            let ears = Arc::clone(&ears);
            let builder = is_told.listener("house", name).topic("t").overlap(overlap);
            builder.on_error(move |failure: HandlerFailure| {
                ears.lock().unwrap().insert(failure.execution_id);
                async {}
            })
        };
        let guarded = listener("guarded", Overlap::Parallel).only_if(guard);
        let watched = executor.clone();
        Self {
            free: register(listener("free", Overlap::Parallel), &go).await,
            guarded: register(guarded, &go).await,
            single: register(listener("single", Overlap::Single), &go).await,
            queued: register(listener("queued", Overlap::Queued), &go).await,
            executor,
            store,
            told,
            go,
            _ledger: LedgerGuard::new(move || watched.ledger()),
        }
    }

    /// Runs a case to its end, however it comes to it.
    pub(crate) async fn run(&self, number: usize, case: &Case) {
        let token = CancellationToken::new();
        let command = self.command(number, case, &token);
        let occupant = self.occupy(case).await;
        let execution = self.executor.execute_until(command, &token);
        match case.circumstance {
            Circumstance::Dropped => drop_after(case.polls, execution).await,
            // Nothing wakes it there.
            Circumstance::DroppedInLine => drop_after(1, execution).await,
            Circumstance::Cancelled
            | Circumstance::CancelledWithGrace
            | Circumstance::CancelledInLine => {
                let cancel = async {
                    sleep(case.at).await;
                    token.cancel();
                };
                let (result, ()) = tokio::join!(execution, cancel);
                result.unwrap();
            }
            _ => {
                execution.await.unwrap();
            }
        }
        if let Some(occupant) = occupant {
            self.go.notify_one();
            occupant.await.unwrap();
        }
        // Of one listener one error handler runs at a time; this lets it.
        sleep(SHORT).await;
    }

    fn command(&self, number: usize, case: &Case, token: &CancellationToken) -> Command {
        use Circumstance as C;
        let listener = match case.circumstance {
            C::GuardSaysNo | C::GuardFails | C::GuardPanics => &self.guarded,
            C::Overlaps => &self.single,
            C::CancelledInLine | C::DroppedInLine => &self.queued,
            _ => &self.free,
        };
        let effective_timeout = match case.circumstance {
            C::InTime if crate::model::blocks(case.behaviour) => Some(SHORT),
            C::InTime => Some(LONG),
            C::DeadlinePasses => Some(case.at),
            _ => None,
        };
        let script = Script {
            case: case.clone(),
            token: token.clone(),
        };
        let event = Event::new("t").with_id(number.to_string());
        Command::InvokeHandler(InvokeHandler {
            listener: Arc::clone(listener.listener()),
            event: Arc::new(event.with_payload(script)),
            source_tier: case.tier,
            effective_timeout,
        })
    }

    /// Puts a run in the way.
    async fn occupy(&self, case: &Case) -> Option<tokio::task::JoinHandle<()>> {
        use Circumstance as C;
        let listener = match case.circumstance {
            C::Overlaps => &self.single,
            C::CancelledInLine | C::DroppedInLine => &self.queued,
            _ => return None,
        };
        let (executor, command) = (self.executor.clone(), listener.invoke(Event::new("t")));
        let occupant = tokio::spawn(async move {
            executor.execute(command).await.unwrap();
        });
        yield_now().await;
        Some(occupant)
    }

    /// Stops, and returns the records by the id of their event.
    pub(crate) async fn close(&self) -> HashMap<String, Vec<ExecutionRecord>> {
        self.executor.shutdown(Duration::from_secs(5)).await;
        let mut records: HashMap<String, Vec<ExecutionRecord>> = HashMap::new();
        for record in self.store.records() {
            let id = record.trigger.id().unwrap_or("in the way").to_owned();
            records.entry(id).or_default().push(record);
        }
        records
    }

    /// How an execution ended, in the model's words.
    pub(crate) fn found(&self, record: &ExecutionRecord) -> End {
        let failure = record.failure.as_ref();
        let has_report = failure.is_some_and(|failure| failure.report.is_some());
        assert!(!record.flags.thread_leaked && record.flags.blocked.is_none());
        End {
            status: record.status,
            timeout_origin: record.flags.timeout_origin,
            overran: record.flags.overran,
            is_di_failure: record.flags.is_di_failure,
            has_report: if has_report {
                Report::Always
            } else {
                Report::Never
            },
            is_told: self.told.lock().unwrap().contains(&record.execution_id),
        }
    }
}

fn guard(event: &Event) -> Result<bool, HandlerError> {
    let script = event.payload::<Script>().expect("guarded runs have one");
    match script.case.circumstance {
        Circumstance::GuardFails => Err("cannot tell".into()),
        Circumstance::GuardPanics => panic!("over there"),
        _ => Ok(false),
    }
}

async fn register(builder: ListenerBuilder, go: &Arc<Notify>) -> ListenerHandle {
    let go = Arc::clone(go);
    let handler = move |event: Arc<Event>| {
        let go = Arc::clone(&go);
        let at_once = event.payload::<Script>().is_some_and(|script| {
            let case = &script.case;
            // One of three panics before there is a future at all.
            case.behaviour == Behaviour::Panics
                && case.variant % 3 == 0
                && matches!(
                    case.circumstance,
                    Circumstance::Undisturbed | Circumstance::InTime
                )
        });
        if at_once {
            panic!("when called");
        }
        let bomb = event.payload::<Script>().and_then(bomb_of);
        let work = async move {
            match event.payload::<Script>() {
                Some(script) => act(script).await,
                None => {
                    go.notified().await;
                    Ok(())
                }
            }
        };
        Armed {
            work: Box::pin(work),
            _bomb: bomb,
        }
    };
    builder.handler(handler).register().await.unwrap()
}

fn bomb_of(script: &Script) -> Option<Bomb> {
    let behaviour = script.case.behaviour;
    matches!(
        behaviour,
        Behaviour::PanicsWhenDropped | Behaviour::NeverReadyAndPanics
    )
    .then(|| Bomb)
}

/// A handler's work, and what goes off when it is dropped.
struct Armed {
    work: HandlerFuture,
    _bomb: Option<Bomb>,
}

impl Future for Armed {
    type Output = Result<(), HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.work.as_mut().poll(cx)
    }
}

/// Polls so often, and drops.
async fn drop_after(polls: usize, execution: impl Future<Output: fmt::Debug>) {
    let mut execution = pin!(execution);
    let mut polled = 0;
    poll_fn(|cx| {
        polled += 1;
        let polled_to = execution.as_mut().poll(cx);
        assert!(
            polled_to.is_pending(),
            "ended before it was dropped, at poll {polled} of {polls}: {polled_to:?}"
        );
        if polled >= polls {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// What the handler does.
async fn act(script: &Script) -> Result<(), HandlerError> {
    use Behaviour as B;
    let Script { case, token } = script;
    let id = current_execution_id();
    for step in &case.steps {
        match step {
            None => yield_now().await,
            Some(millis) => sleep(Duration::from_millis(*millis)).await,
        }
        assert_eq!(current_execution_id(), id);
    }
    if crate::model::blocks(case.behaviour) {
        std::thread::sleep(BLOCKED);
    }
    match case.behaviour {
        B::Returns | B::PanicsWhenDropped | B::BlocksAndReturns => Ok(()),
        B::Fails | B::BlocksAndFails => Err("no".into()),
        B::FailsRudely => Err(Rude.into()),
        B::Known => Err(HandlerError::known("as usual")),
        B::Dependency => Err(HandlerError::dependency("not there")),
        B::OwnTimeout => own_timeout(case.variant).await,
        B::Panics | B::BlocksAndPanics => panic_with(case.variant),
        B::Spawns => {
            let theirs = tokio::spawn(inherit(async { current_execution_id() }));
            assert_eq!(theirs.await?, id);
            Ok(())
        }
        B::NeverReady | B::NeverReadyAndPanics => pending().await,
        B::CancelsItself => {
            token.cancel();
            pending().await
        }
        B::ReturnsWhenCancelled => {
            cancellation().cancelled().await;
            Err("cut off".into())
        }
    }
}

async fn own_timeout(variant: u8) -> Result<(), HandlerError> {
    match variant % 3 {
        0 => Err(HandlerError::timed_out("too late")),
        1 => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        _ => Ok(tokio::time::timeout(SHORT, pending::<()>()).await?),
    }
}

fn panic_with(variant: u8) -> ! {
    match variant % 4 {
        0 => panic!("a word"),
        1 => panic!("{} words", 2),
        2 => std::panic::panic_any(7_u8),
        _ => std::panic::panic_any(Bomb),
    }
}

/// Panics when it is dropped, unless that would abort the process.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("while dropping");
        }
    }
}

/// Nothing about it can be asked.
#[derive(Debug)]
struct Rude;

impl fmt::Display for Rude {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("not telling")
    }
}

impl Error for Rude {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        panic!("no cause for you")
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        panic!("not going");
    }
}
