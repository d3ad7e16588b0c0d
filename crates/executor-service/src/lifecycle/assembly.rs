//! Assembles a service from its parts and connects them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::ports::{Orphan, Session, Store};
use executor_core::{
    BlockingPool, Clock, DropReason, Redactor, RunOptions, Runner, StoreError, Timestamp,
};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::completions::CompletionBuffer;
use crate::config::Config;
use crate::drain::{Drain, Tools};
use crate::error_handlers::ErrorHandlers;
use crate::intake::loss_reporter::LossReporter;
use crate::intake::{Intake, Limits};
use crate::lifecycle::flushing::Flushing;
use crate::lifecycle::health::HealthState;
use crate::lifecycle::heartbeat::{Heartbeat, Opening};
use crate::lifecycle::shared::Service;
use crate::lifecycle::tasks::{Starter, Tasks};
#[cfg(feature = "metrics")]
use crate::metering::Metering;
use crate::recording::Policy;
use crate::recovery::{Account, Recovery, Takeover};
use crate::registration::registrar::{Applying, Registrar};
use crate::registration::subscriptions::Subscriptions;
use crate::retention::Pruning;
use crate::running::Running;
use crate::schedule::missed_log::MissedLog;
use crate::schedule::missed_reporter::MissedReporter;
use crate::schedule::scheduler::Scheduler;
use crate::sources::SourceLog;
use crate::sources::reporter::SourceReporter;
use crate::spool::session_spool::{self, SessionSpool};

/// The parts that exist before the service does.
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Config,
    pub(super) redactor: Redactor,
    pub(super) session: Arc<Session>,
    pub(super) health: Arc<HealthState>,
    /// The directory of this machine's spools, if records survive the process.
    pub(super) spool_root: Option<PathBuf>,
    pub(super) spool: Option<Arc<SessionSpool>>,
    /// The session is open in the store.
    pub(super) is_open: bool,
}

impl Parts {
    pub(super) fn assemble(mut self) -> Service {
        let has_spool = self.spool.is_some();
        let intake = Arc::new(self.intake());
        let cancel = CancellationToken::new();
        let missed = Arc::new(MissedLog::new(self.session.id));
        let registrar = Arc::new(Registrar::new(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            self.session.id,
            Arc::clone(&missed),
            self.config.orphans,
        ));
        let scheduler = Scheduler::new(Arc::clone(&self.clock), Arc::clone(&missed));
        let completions = CompletionBuffer::new(self.config.completions_max);
        let time_is_up = CancellationToken::new();
        let (recovering, is_recovering) = watch::channel(has_spool);
        let (drain, requests) = Drain::new(Tools {
            intake: Arc::clone(&intake),
            store: Arc::clone(&self.store),
            registrar: Arc::clone(&registrar),
            session: Arc::clone(&self.session),
            clock: Arc::clone(&self.clock),
            health: Arc::clone(&self.health),
            publisher: completions.publisher(),
            recovering: is_recovering,
            time_is_up: time_is_up.clone(),
            config: self.config.clone(),
        });
        let starter = Starter {
            health: Arc::clone(&self.health),
            clock: Arc::clone(&self.clock),
        };
        let mut tasks = Tasks::start(&starter, drain);
        self.start_reporting(&mut tasks, &starter, &intake, &missed);
        self.start_upkeep(&mut tasks, &starter, &registrar);
        let reporter = MissedReporter {
            missed: Arc::clone(&missed),
            store: Arc::clone(&self.store),
            catching_up: scheduler.catching_up(),
            recovering: recovering.subscribe(),
            made_up: Vec::new(),
        };
        tasks.add(&starter, reporter);
        let sources = SourceLog::new(self.session.id, self.redactor.clone());
        let sources = Arc::new(sources);
        let reporter = SourceReporter {
            sources: Arc::clone(&sources),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
        };
        tasks.add(&starter, reporter);
        if has_spool {
            self.start_recovery(
                &mut tasks,
                &starter,
                &intake,
                &registrar,
                recovering.clone(),
            );
        }
        let runner = self.runner(&intake, &cancel);
        let flushing = match has_spool {
            true => Flushing::start(runner.line_flusher()),
            false => Flushing::none(),
        };
        let error_handlers = ErrorHandlers::new(self.config.error_handler_timeout, self.redactor);
        Service {
            scheduler,
            missed,
            sources,
            runner,
            intake,
            store: self.store,
            session: self.session,
            clock: self.clock,
            running: Running::default(),
            blocking: BlockingPool::new(self.config.blocking_threads),
            cancel,
            requests,
            error_handlers: Arc::new(error_handlers),
            registrar,
            subscriptions: Subscriptions::new(self.config.topic_separator),
            health: self.health,
            recovering,
            completions: Mutex::new(Some(completions)),
            tasks,
            flushing,
            time_is_up,
            is_stopping: AtomicBool::new(false),
            report: watch::Sender::new(None),
            runtime: Handle::current(),
            room: Arc::new(Semaphore::new(self.config.submitted_max)),
            submitted: TaskTracker::new(),
            acting: TaskTracker::new(),
            cut_off: AtomicUsize::new(0),
        }
    }

    fn intake(&mut self) -> Intake {
        let config = &self.config;
        let limits = Limits {
            queue_max: config.queue_max,
            batch_max: config.batch_max,
            ripe_at: config.ripe_at(),
            retry_max_records: config.retry_max_records,
            retry_max_attempts: config.retry_max_attempts,
            policy: Policy {
                app: config.record_app,
                framework: config.record_framework,
            },
        };
        Intake::new(limits, Arc::clone(&self.clock), self.spool.take())
    }

    fn runner(&self, intake: &Arc<Intake>, cancel: &CancellationToken) -> Runner {
        let options = RunOptions {
            slow_poll: self.config.slow_poll,
            cancel_grace: self.config.cancel_grace,
            record_backtraces: self.config.record_backtraces,
            redactor: self.redactor.clone(),
        };
        let (sink, clock) = (Arc::clone(intake), Arc::clone(&self.clock));
        Runner::new(sink, clock, cancel.clone(), options)
    }

    /// Starts the services that report on the records.
    fn start_reporting(
        &self,
        tasks: &mut Tasks,
        starter: &Starter,
        intake: &Arc<Intake>,
        missed: &Arc<MissedLog>,
    ) {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let losses = LossReporter::new(Arc::clone(intake), store, self.session.id, clock);
        tasks.add(starter, losses);
        let heartbeat = Heartbeat {
            store: Arc::clone(&self.store),
            session: Arc::clone(&self.session),
            intake: Arc::clone(intake),
            clock: Arc::clone(&self.clock),
            health: Arc::clone(&self.health),
            missed: Arc::clone(missed),
            every: heartbeat_interval(&*self.store, &self.config),
        };
        tasks.add(starter, heartbeat);
        #[cfg(feature = "metrics")]
        {
            let (intake, health) = (Arc::clone(intake), Arc::clone(&self.health));
            tasks.add(starter, Metering { intake, health });
        }
    }

    /// Starts the services that keep the store's registrations, rows and session in order.
    fn start_upkeep(&self, tasks: &mut Tasks, starter: &Starter, registrar: &Arc<Registrar>) {
        tasks.add(starter, Applying(Arc::clone(registrar)));
        let pruning = Pruning {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            retention: self.config.retention.clone(),
            session: self.session.id,
            watch: None,
        };
        tasks.add(starter, pruning);
        if !self.is_open {
            let (store, session) = (Arc::clone(&self.store), Arc::clone(&self.session));
            tasks.add(starter, Opening { store, session });
        }
    }

    fn start_recovery(
        &self,
        tasks: &mut Tasks,
        starter: &Starter,
        intake: &Arc<Intake>,
        registrar: &Arc<Registrar>,
        recovering: watch::Sender<bool>,
    ) {
        let Some(root) = self.spool_root.clone() else {
            return;
        };
        let (own, _) = session_spool::paths(&root, self.session.id);
        let account = ServiceAccount {
            intake: Arc::clone(intake),
            health: Arc::clone(&self.health),
            registrar: Arc::clone(registrar),
        };
        let takeover = Takeover {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            account: Arc::new(account),
            batch_max: self.config.batch_max,
            patience: None,
        };
        let recovery = Recovery {
            root,
            own,
            takeover,
            recovering,
        };
        tasks.add(starter, recovery);
    }
}

/// Counts taken-over records in the ledger of the service that takes them over.
struct ServiceAccount {
    intake: Arc<Intake>,
    health: Arc<HealthState>,
    registrar: Arc<Registrar>,
}

impl Account for ServiceAccount {
    fn recovered(&self, stored: u64, dropped: &[(DropReason, u64)]) {
        self.intake.recovered(stored, dropped);
    }

    fn store_failed(&self, at: Timestamp, error: &StoreError) {
        self.health.store_failed(at, error);
        self.intake.mind_space(Some(error));
    }

    fn store_answered(&self) {
        self.health.store_answered();
        self.intake.mind_space(None);
    }

    fn found_programs(&self, orphans: Vec<Orphan>) {
        self.registrar.found(orphans);
    }
}

/// As configured, unless the store needs more of them.
fn heartbeat_interval(store: &dyn Store, config: &Config) -> Duration {
    let longest = store.heartbeat_at_least_every();
    longest.map_or(config.heartbeat_interval, |longest| {
        longest.min(config.heartbeat_interval)
    })
}
