//! The loop that carries records from the intake to the store. [`crate::drain::plan`] decides what
//! to do; this module does it.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Batch, Session, Store, StoreError};
use executor_core::{Clock, DropReason, ErrorClass, ExecutionRecord, Fate, StoreFault};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::completions::Publisher;
use crate::config::Config;
use crate::drain::guarded::guarded;
use crate::drain::plan::{Action, Limits, View, plan};
use crate::drain::retry::{RetryHeap, delay_after, with_jitter};
use crate::intake::Intake;
use crate::intake::lease::Lease;
use crate::lifecycle::health::HealthState;
use crate::lifecycle::supervise::{Fault, Supervised};
use crate::registration::registrar::Registrar;

pub(crate) mod guarded;

pub(crate) mod plan;

pub(crate) mod retry;

/// A request to the drain.
pub(crate) enum Request {
    /// Reply once every record accepted so far has been settled or given up.
    Flush(oneshot::Sender<()>),
    /// Reply at once.
    Ping(oneshot::Sender<()>),
    /// Try everything that is left without the usual delays, then end.
    Stop,
}

/// The longest delay between tries while stopping: time is short, and nobody else waits.
const STOPPING_DELAY: Duration = Duration::from_millis(200);

/// The parts that the drain works with.
pub(crate) struct Tools {
    pub(crate) intake: Arc<Intake>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) session: Arc<Session>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Arc<HealthState>,
    pub(crate) publisher: Publisher,
    /// True while recovery takes over the records of an earlier process.
    pub(crate) recovering: watch::Receiver<bool>,
    /// Cancelled when the time is up: the drain finishes the try in hand and begins no other.
    pub(crate) time_is_up: CancellationToken,
    pub(crate) config: Config,
}

/// The drain, owned by its task.
pub(crate) struct Drain {
    tools: Tools,
    requests: mpsc::UnboundedReceiver<Request>,
    retries: RetryHeap,
    /// Flushes that wait for all records with a number lower than this.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    since: Option<Instant>,
    stopping: bool,
    /// The last thing done was a retry.
    retried: bool,
}

/// The reason the drain woke up.
enum Event {
    Bell,
    Due,
    Request(Option<Request>),
}

impl Supervised for Drain {
    const NAME: &'static str = "drain";

    /// Runs until told to stop and everything is written or given up.
    async fn run(&mut self) -> Result<(), Fault> {
        let limits = Limits {
            ripe_at: self.tools.config.ripe_at(),
            flush_interval: self.tools.config.flush_interval,
        };
        let now = self.tools.clock.monotonic();
        for lease in self.tools.intake.take_returned() {
            self.retries.push(lease, now);
        }
        while !self.tools.time_is_up.is_cancelled() {
            self.answer_flushes();
            let now = self.tools.clock.monotonic();
            match plan(&self.view(now), &limits, now) {
                Action::Retry => self.retry().await,
                Action::Write => self.write().await,
                Action::Wait(until) => {
                    let event = self.next_event(until).await;
                    self.handle(event);
                }
                Action::Finish => return Ok(()),
            }
            self.take_requests();
        }
        Ok(())
    }
}

impl Drain {
    pub(crate) fn new(tools: Tools) -> (Self, mpsc::UnboundedSender<Request>) {
        let (sender, requests) = mpsc::unbounded_channel();
        let drain = Self {
            tools,
            requests,
            retries: RetryHeap::default(),
            flushes: Vec::new(),
            since: None,
            stopping: false,
            retried: false,
        };
        (drain, sender)
    }

    fn view(&mut self, now: Instant) -> View {
        let queued = self.tools.intake.queued();
        if queued == 0 {
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
        let oldest = self.tools.intake.oldest_queued();
        View {
            queued,
            since: self.since,
            next_retry: self.retries.next_due(),
            // A flush that waits only for retries does not hurry the queue.
            flushing: self.flushes.iter().any(|(mark, _)| *mark > oldest),
            stopping: self.stopping,
            retried: self.retried,
            may_take: self
                .tools
                .intake
                .may_take(self.retries.records(), self.is_recovering()),
        }
    }

    fn is_recovering(&self) -> bool {
        let is_recovering = *self.tools.recovering.borrow();
        is_recovering && !self.stopping
    }

    async fn next_event(&mut self, until: Option<Instant>) -> Event {
        tokio::select! {
            biased;
            request = self.requests.recv(), if !self.stopping => Event::Request(request),
            () = self.tools.time_is_up.cancelled() => Event::Bell,
            // An error means that recovery has ended.
            Ok(()) = self.tools.recovering.changed() => Event::Bell,
            () = self.tools.intake.bell.notified() => Event::Bell,
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => Event::Due,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Bell | Event::Due => {}
            Event::Request(Some(Request::Flush(reply))) => {
                self.flushes.push((self.tools.intake.accepted(), reply));
            }
            // Whoever stopped waiting does not need the answer.
            Event::Request(Some(Request::Ping(reply))) => drop(reply.send(())),
            // `None`: no handle is left that could send a request.
            Event::Request(Some(Request::Stop) | None) => {
                self.stopping = true;
                self.retries.make_due(self.tools.clock.monotonic());
            }
        }
    }

    /// Handles the requests that arrived while a batch was being written.
    fn take_requests(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            self.handle(Event::Request(Some(request)));
        }
    }

    fn answer_flushes(&mut self) {
        // Records of an earlier process were offered before the flush, too.
        if self.flushes.is_empty() || self.is_recovering() {
            return;
        }
        let queued = self.tools.intake.oldest_queued();
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
        let lease = self.tools.intake.take(&self.tools.session);
        self.since = None;
        self.retried = false;
        self.attempt(lease).await;
    }

    async fn retry(&mut self) {
        if let Some(lease) = self.retries.pop() {
            self.retried = true;
            self.attempt(lease).await;
        }
    }

    async fn attempt(&mut self, lease: Lease) {
        let store = self.tools.store.as_ref();
        let stored = match self.tools.registrar.apply().await {
            Ok(()) => persist(store, lease.batch()).await,
            // The store is unavailable; storing the batch anyway would lose its references.
            Err(error) => Err(error),
        };
        match stored {
            Ok(fates) => self.settle(lease, &fates),
            Err(error) => self.failed(lease, &error),
        }
    }

    fn settle(&self, lease: Lease, fates: &[Fate]) {
        let batch = Arc::clone(lease.batch());
        // Update the ledger first: a log subscriber may panic.
        lease.settle(fates);
        self.tools.health.store_answered();
        self.tools.intake.mind_space(None);
        let pairs = || batch.records.iter().zip(fates);
        let is_stored = |fate: &Fate| !matches!(fate, Fate::SetAside { .. });
        let stored = pairs().filter(|(_, fate)| is_stored(fate));
        let now = self.tools.clock.monotonic();
        self.tools
            .publisher
            .publish(stored.map(|(record, _)| record), now);
        say_what_was_set_aside(&batch.records, fates);
    }

    fn failed(&mut self, mut lease: Lease, error: &StoreError) {
        lease.failed(error.answered);
        let now = self.tools.clock.now();
        self.tools.health.store_failed(now.wall, error);
        self.tools.intake.mind_space(Some(error));
        let records = lease.batch().records.len();
        let intake = &self.tools.intake;
        let given_up = intake.on_failure(error, lease.leased().refusals, self.stopping);
        let deferred = given_up.is_none() && lease.defer(intake.retry_limit());
        if deferred {
            let delay = self.delay_after(lease.leased().failures);
            self.retries.push(lease, now.monotonic + delay);
            tracing::debug!(records, ?delay, "batch failed, will retry");
        } else {
            let cause = error.source.to_string();
            let error: &dyn std::error::Error = error;
            let reason = given_up.unwrap_or(DropReason::Exhausted);
            lease.give_up(reason);
            let (regression, reason) = (regression(reason), reason.as_str());
            tracing::error!(
                error,
                cause,
                records,
                reason,
                "{regression}records given up"
            );
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

/// An unstorable record points to a bug in this program.
const fn regression(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Unstorable => "REGRESSION: ",
        _ => "",
    }
}

/// Logs each record that the store refused for good.
pub(crate) fn say_what_was_set_aside(records: &[ExecutionRecord], fates: &[Fate]) {
    for (record, fate) in records.iter().zip(fates) {
        if let Fate::SetAside { reason, detail } = fate {
            let regression = regression(*reason);
            tracing::error!(
                execution.id = %record.execution_id, reason = reason.as_str(), detail,
                "{regression}a record cannot be stored and was set aside"
            );
        }
    }
}

/// Persists a batch. Fates that do not match the batch are an error.
async fn persist(store: &dyn Store, batch: &Arc<Batch>) -> Result<Vec<Fate>, StoreError> {
    const OPERATION: &str = "storing a batch";
    let fates = guarded(OPERATION, || store.persist(Arc::clone(batch))).await?;
    if fates.len() == batch.records.len() {
        return Ok(fates);
    }
    Err(StoreError {
        class: ErrorClass::Unstorable,
        answered: true,
        fault: StoreFault::Other,
        operation: OPERATION,
        source: "the store returned more or fewer fates than records".into(),
    })
}
