//! The loop that carries records from the intake to the store. It only receives and does: what
//! to do is decided in [`crate::plan`].

use std::sync::Arc;

use executor_core::ports::{Batch, Session, Store, StoreError};
use executor_core::{Clock, DropReason, ErrorClass, Fate};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::config::Config;
use crate::intake::Intake;
use crate::plan::{Action, Limits, View, plan};
use crate::retry::{Retry, RetryHeap, delay_after, with_jitter};

/// What others may ask of the drain.
pub(crate) enum Request {
    /// Reply when every record accepted until now has come to an end.
    Flush(oneshot::Sender<()>),
    /// Write what is left, then end.
    Stop,
}

/// The drain, owned by its task.
pub(crate) struct Drain {
    intake: Arc<Intake>,
    store: Arc<dyn Store>,
    session: Arc<Session>,
    clock: Arc<dyn Clock>,
    requests: mpsc::UnboundedReceiver<Request>,
    retries: RetryHeap,
    /// Who waits for all records with a lower number than this.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    since: Option<Instant>,
    stopping: bool,
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
        store: Arc<dyn Store>,
        session: Arc<Session>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> (Self, mpsc::UnboundedSender<Request>) {
        let (sender, requests) = mpsc::unbounded_channel();
        let drain = Self {
            intake,
            store,
            session,
            clock,
            requests,
            retries: RetryHeap::default(),
            flushes: Vec::new(),
            since: None,
            stopping: false,
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
        loop {
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
            flushing: !self.flushes.is_empty(),
            stopping: self.stopping,
        }
    }

    async fn next_event(&mut self, until: Option<Instant>) -> Event {
        tokio::select! {
            biased;
            request = self.requests.recv(), if !self.stopping => Event::Request(request),
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
            Event::Request(Some(Request::Stop) | None) => self.stopping = true,
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
        let batch = Arc::new(Batch {
            session: Arc::clone(&self.session),
            records: taken.records,
        });
        self.attempt(Retry {
            batch,
            first: taken.first,
            failures: 0,
            refusals: 0,
        })
        .await;
    }

    async fn retry(&mut self) {
        if let Some(retry) = self.retries.pop() {
            self.intake.resume(retry.batch.records.len());
            self.attempt(retry).await;
        }
    }

    async fn attempt(&mut self, retry: Retry) {
        match self.store.persist(Arc::clone(&retry.batch)).await {
            Ok(fates) => self.settle(&retry.batch, &fates),
            Err(error) => self.failed(retry, &error),
        }
    }

    fn settle(&self, batch: &Batch, fates: &[Fate]) {
        self.intake.settle(fates);
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

    fn failed(&mut self, mut retry: Retry, error: &StoreError) {
        let count = retry.batch.records.len();
        if error.answered && retry.failures > 0 {
            retry.refusals += 1;
        }
        retry.failures += 1;
        let given_up = match error.class {
            ErrorClass::Transient if retry.refusals >= self.config.retry_max_attempts => {
                Some(DropReason::Exhausted)
            }
            ErrorClass::Transient => None,
            ErrorClass::Closed => Some(DropReason::Shutdown),
            ErrorClass::Dangling | ErrorClass::Constraint => Some(DropReason::Constraint),
            ErrorClass::Unstorable => Some(DropReason::Unstorable),
        };
        let deferred =
            given_up.is_none() && self.intake.defer(count, self.config.retry_max_records);
        let error: &dyn std::error::Error = error;
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        if deferred {
            let delay = with_jitter(delay_after(retry.failures));
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
            tracing::error!(
                error,
                cause,
                records = count,
                reason = reason.as_str(),
                "records given up"
            );
            self.intake.give_up(count, reason);
        }
    }
}
