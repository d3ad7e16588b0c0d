//! The loop that carries records from the intake to the store. It only receives and does: what
//! to do is decided in [`crate::plan`].

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Batch, Session, Store, StoreError};
use executor_core::{Clock, DropReason, ErrorClass, Fate};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::guarded::guarded;
use crate::intake::{Held, Intake};
use crate::plan::{Action, Limits, View, plan};
use crate::registrar::Registrar;
use crate::retry::{Retry, RetryHeap, delay_after, with_jitter};

/// What others may ask of the drain.
pub(crate) enum Request {
    /// Reply when every record accepted until now has come to an end.
    Flush(oneshot::Sender<()>),
    /// Try everything that is left without the usual waits, then end.
    Stop,
}

/// How long to wait between tries while stopping: the time is short, and nobody else waits.
const STOPPING_DELAY: Duration = Duration::from_millis(200);

/// The drain, owned by its task.
pub(crate) struct Drain {
    intake: Arc<Intake>,
    store: Arc<dyn Store>,
    registrar: Arc<Registrar>,
    session: Arc<Session>,
    clock: Arc<dyn Clock>,
    requests: mpsc::UnboundedReceiver<Request>,
    retries: RetryHeap,
    /// Who waits for all records with a lower number than this.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    since: Option<Instant>,
    stopping: bool,
    /// The last thing done was a retry.
    retried: bool,
    /// Cancelled when the time is up: the try in hand is finished, and no other one begun.
    time_is_up: CancellationToken,
    config: Config,
}

/// What woke the drain.
enum Event {
    Bell,
    Due,
    Request(Option<Request>),
}

impl Drain {
    pub(crate) fn new(
        intake: Arc<Intake>,
        (store, registrar): (Arc<dyn Store>, Arc<Registrar>),
        session: Arc<Session>,
        clock: Arc<dyn Clock>,
        time_is_up: CancellationToken,
        config: Config,
    ) -> (Self, mpsc::UnboundedSender<Request>) {
        let (sender, requests) = mpsc::unbounded_channel();
        let drain = Self {
            intake,
            store,
            registrar,
            session,
            clock,
            requests,
            retries: RetryHeap::default(),
            flushes: Vec::new(),
            since: None,
            stopping: false,
            retried: false,
            time_is_up,
            config,
        };
        (drain, sender)
    }

    /// Runs until told to stop and everything is written or given up.
    pub(crate) async fn run(mut self) {
        let limits = Limits {
            ripe_at: self.config.ripe_at(),
            flush_interval: self.config.flush_interval,
        };
        while !self.time_is_up.is_cancelled() {
            self.answer_flushes();
            let now = self.clock.monotonic();
            match plan(&self.view(now), &limits, now) {
                Action::Retry => self.retry().await,
                Action::Write => self.write().await,
                Action::Wait(until) => {
                    let event = self.next_event(until).await;
                    self.handle(event);
                }
                Action::Finish => return,
            }
            self.take_requests();
        }
    }

    fn view(&mut self, now: Instant) -> View {
        let queued = self.intake.queued();
        if queued == 0 {
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
        View {
            queued,
            since: self.since,
            next_retry: self.retries.next_due(),
            // Not for a flush that waits only for retries.
            flushing: self
                .flushes
                .iter()
                .any(|(mark, _)| *mark > self.intake.oldest_queued()),
            stopping: self.stopping,
            retried: self.retried,
        }
    }

    async fn next_event(&mut self, until: Option<Instant>) -> Event {
        tokio::select! {
            biased;
            request = self.requests.recv(), if !self.stopping => Event::Request(request),
            () = self.time_is_up.cancelled() => Event::Bell,
            () = self.intake.bell.notified() => Event::Bell,
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => Event::Due,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Bell | Event::Due => {}
            Event::Request(Some(Request::Flush(reply))) => {
                self.flushes.push((self.intake.accepted(), reply));
            }
            // Nobody is left who could ask for anything.
            Event::Request(Some(Request::Stop) | None) => {
                self.stopping = true;
                self.retries.make_due(self.clock.monotonic());
            }
        }
    }

    /// Requests that came while a batch was written.
    fn take_requests(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            self.handle(Event::Request(Some(request)));
        }
    }

    fn answer_flushes(&mut self) {
        if self.flushes.is_empty() {
            return;
        }
        let queued = self.intake.oldest_queued();
        let oldest = self.retries.oldest().unwrap_or(u64::MAX).min(queued);
        for (mark, reply) in std::mem::take(&mut self.flushes) {
            if mark <= oldest {
                // Whoever stopped waiting does not need the answer.
                let _ = reply.send(());
            } else {
                self.flushes.push((mark, reply));
            }
        }
    }

    async fn write(&mut self) {
        let taken = self.intake.take(self.config.batch_max);
        self.since = None;
        self.retried = false;
        let batch = Arc::new(Batch {
            session: Arc::clone(&self.session),
            records: taken.records,
        });
        let first_try = Retry {
            batch,
            first: taken.first,
            failures: 0,
            refusals: 0,
        };
        self.attempt(first_try, Held::InHand).await;
    }

    async fn retry(&mut self) {
        if let Some(retry) = self.retries.pop() {
            self.retried = true;
            self.attempt(retry, Held::Deferred).await;
        }
    }

    async fn attempt(&mut self, retry: Retry, held: Held) {
        let store = self.store.as_ref();
        let stored = match self.registrar.apply(store).await {
            Ok(()) => persist(store, &retry.batch).await,
            // A store that does not take registrations is away, or the batch would be stored
            // without its references.
            Err(error) => Err(error),
        };
        match stored {
            Ok(fates) => self.settle(&retry.batch, &fates, held),
            Err(error) => self.failed(retry, held, &error),
        }
    }

    fn settle(&self, batch: &Batch, fates: &[Fate], held: Held) {
        self.intake.settle(fates, held);
        for (record, fate) in batch.records.iter().zip(fates) {
            if let Fate::SetAside { reason, detail } = fate {
                let regression = if *reason == DropReason::Unstorable {
                    "REGRESSION: "
                } else {
                    ""
                };
                tracing::error!(
                    execution.id = %record.execution_id, reason = reason.as_str(), detail,
                    "{regression}a record cannot be stored and was set aside"
                );
            }
        }
    }

    fn failed(&mut self, mut retry: Retry, held: Held, error: &StoreError) {
        let count = retry.batch.records.len();
        if error.answered && retry.failures > 0 {
            retry.refusals += 1;
        }
        retry.failures += 1;
        let given_up = self.reason_to_give_up(&retry, error);
        let deferred = given_up.is_none()
            && self
                .intake
                .defer(count, held, self.config.retry_max_records);
        let error: &dyn std::error::Error = error;
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        if deferred {
            let delay = self.delay_after(retry.failures);
            tracing::warn!(
                error,
                cause,
                records = count,
                ?delay,
                "records wait for another try"
            );
            self.retries.push(retry, self.clock.monotonic() + delay);
        } else {
            let reason = given_up.unwrap_or(DropReason::Exhausted);
            let why = reason.as_str();
            tracing::error!(
                error,
                cause,
                records = count,
                reason = why,
                "records given up"
            );
            self.intake.give_up(count, held, reason);
        }
    }

    /// While stopping, the deadline is the only bound on tries.
    fn reason_to_give_up(&self, retry: &Retry, error: &StoreError) -> Option<DropReason> {
        let most = self.config.retry_max_attempts;
        match error.class {
            ErrorClass::Transient if self.stopping || !error.answered => None,
            ErrorClass::Transient => (retry.refusals >= most).then_some(DropReason::Exhausted),
            ErrorClass::Closed => Some(DropReason::Shutdown),
            ErrorClass::Dangling | ErrorClass::Constraint => Some(DropReason::Constraint),
            ErrorClass::Unstorable => Some(DropReason::Unstorable),
        }
    }

    fn delay_after(&self, failures: u32) -> Duration {
        let delay = with_jitter(delay_after(failures));
        if self.stopping {
            delay.min(STOPPING_DELAY)
        } else {
            delay
        }
    }
}

/// Asks the store. Fates that do not fit the batch are none.
async fn persist(store: &dyn Store, batch: &Arc<Batch>) -> Result<Vec<Fate>, StoreError> {
    const OPERATION: &str = "storing a batch";
    let fates = guarded(OPERATION, || store.persist(Arc::clone(batch))).await?;
    if fates.len() == batch.records.len() {
        return Ok(fates);
    }
    Err(StoreError {
        class: ErrorClass::Unstorable,
        answered: true,
        operation: OPERATION,
        source: "the store returned more or fewer fates than records".into(),
    })
}
