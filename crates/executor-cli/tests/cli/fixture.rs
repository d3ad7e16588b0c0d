//! A history of two weeks with something of everything: successes, failures of several kinds, a crash, a loss, a missed
//! run, pruned rows. Written through the ports, as a program's own executor would, but with the times that it needs.

use std::sync::Arc;
use std::time::Duration;

use command_executor::lines::Lines;
use command_executor::ports::{
    Batch, Gap, MissedReason, MissedRuns, PruneRule, PruneSlice, Registered, SchedulePlan, Session,
    SessionEnd, SessionStatus, Store,
};
use command_executor::record::{ExecutionRecord, RecordFlags, Trigger, TriggerMode};
use command_executor::registration::{Details, Registration};
use command_executor::{
    DropReason, Entity, EntityKind, ExecutionId, Failure, Ledger, SessionId, SourceTier,
    SqliteStore, Status, Subject, Timestamp,
};

use crate::support::Place;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A house whose backup became slower a week ago, and failed once: `house/backup` runs each hour, `lights/hall` ten times
/// a day.
pub(crate) struct House {
    pub(crate) place: Place,
    pub(crate) now: Timestamp,
    /// The address of its database.
    pub(crate) db: String,
}

pub(crate) fn house() -> House {
    let place = Place::new();
    let path = place.directory.path().join("house.db");
    house_in(place, "house.db", now(), async {
        Arc::new(SqliteStore::open(path.to_str().unwrap()).await.unwrap())
    })
}

/// The same in another store, as of a certain time.
pub(crate) fn house_in<S: Store>(
    place: Place,
    db: &str,
    now: Timestamp,
    store: impl Future<Output = Arc<S>>,
) -> House {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let writing = Writing::new(store.await, now).await;
        writing.write().await.unwrap();
    });
    let db = db.to_owned();
    House { place, now, db }
}

fn stored(count: u64) -> Ledger {
    Ledger {
        offered: count,
        stored: count,
        ..Ledger::default()
    }
}

/// What the failed backup said.
fn said() -> Lines {
    let body = "1500 o [] copying the attic\n299000 e [] rsync: lost the cellar\n";
    Lines::from_parts(2, 2, 38, false, body)
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

struct Writing {
    store: Arc<dyn Store>,
    now: Timestamp,
    backup: Subject,
    hall: Subject,
    pump: Subject,
}

impl Writing {
    async fn new(store: Arc<dyn Store>, now: Timestamp) -> Self {
        let subject = async |entity: Entity| {
            let details = Details::new(SourceTier::App);
            let registration = Registration::new(entity, details);
            let entity = Arc::clone(&registration.entity);
            let row = store.register(registration).await.unwrap();
            Subject {
                entity,
                row: Some(row),
            }
        };
        Self {
            backup: subject(Entity::job("house", 0, "backup")).await,
            hall: subject(Entity::listener("lights", 0, "hall", "motion.hall")).await,
            pump: subject(Entity::listener("cellar", 0, "pump", "water")).await,
            now,
            store,
        }
    }

    fn ago(&self, ago: Duration) -> Timestamp {
        self.now.saturating_sub(ago)
    }

    fn record(&self, of: &Subject, ended_ago: Duration, took: Duration) -> ExecutionRecord {
        let started_at = self.ago(ended_ago + took);
        let is_job = of.entity.kind == EntityKind::Job;
        ExecutionRecord {
            execution_id: ExecutionId::new(started_at),
            subject: of.clone(),
            source_tier: SourceTier::App,
            status: Status::Success,
            started_at,
            duration: took,
            failure: None,
            flags: RecordFlags::default(),
            trigger: match is_job {
                true => Trigger::Job(TriggerMode::Schedule),
                false => Trigger::Synthetic,
            },
            topic: None,
            due_at: is_job.then_some(started_at),
            exit_code: None,
            lines: None,
            generation: 0,
            retry_count: 0,
            attempt_number: 1,
            arguments_json: None,
        }
    }

    fn failing(
        &self,
        mut record: ExecutionRecord,
        status: Status,
        message: &str,
    ) -> ExecutionRecord {
        record.status = status;
        record.failure = Some(Arc::new(Failure {
            error_type: "exit status 12".into(),
            message: message.into(),
            report: None,
        }));
        record
    }

    async fn session(&self, from: Duration) -> Arc<Session> {
        let at = self.ago(from);
        let mut session = Session::new(SessionId::new(at), "attic", at);
        session.program = Some("house".into());
        let session = Arc::new(session);
        self.store.open_session(Arc::clone(&session)).await.unwrap();
        let registered = Registered {
            id: command_executor::identity::RegistrationId::job(self.backup.row.unwrap()),
            session: session.id,
            at,
            plan: Some(SchedulePlan {
                text: "cron 0 * * * *".into(),
                time_zone: Some("UTC".into()),
                jitter: Duration::ZERO,
                missed: "skip".into(),
                is_persistent: false,
            }),
        };
        self.store.note_schedule(registered.clone()).await.unwrap();
        self.store.take_charge(vec![registered]).await.unwrap();
        session
    }

    async fn persist(&self, session: &Arc<Session>, mut records: Vec<ExecutionRecord>) {
        records.sort_by_key(ExecutionRecord::ended_at);
        let session = Arc::clone(session);
        let batch = Arc::new(Batch { session, records });
        self.store.persist(batch).await.unwrap();
    }

    /// The backup of each hour, and motion ten times a day.
    fn ordinary(&self, from: Duration, to: Duration, backup: Duration) -> Vec<ExecutionRecord> {
        let mut records = Vec::new();
        let mut ago = from;
        while ago > to {
            records.push(self.record(&self.backup, ago, backup));
            ago -= HOUR;
        }
        let mut ago = from;
        while ago > to {
            records.push(self.record(&self.hall, ago, Duration::from_millis(8)));
            ago = ago.saturating_sub(144 * MINUTE);
        }
        records
    }

    async fn write(self) -> Option<()> {
        let first = self.session(14 * DAY).await;
        let mut records = self.ordinary(14 * DAY - HOUR, 7 * DAY, 3 * MINUTE);
        let cut = self.record(&self.backup, 7 * DAY + MINUTE, 2 * MINUTE);
        let cut = self.failing(cut, Status::Interrupted, "the process ended");
        records.push(cut);
        let count = records.len() as u64;
        self.persist(&first, records).await;
        let ended = SessionEnd {
            at: self.ago(7 * DAY),
            status: SessionStatus::Crashed,
            failure: None,
            ledger: stored(count),
        };
        self.store.close_session(first.id, ended).await.ok()?;

        let second = self.session(7 * DAY - HOUR).await;
        let mut records = self.ordinary(7 * DAY - 2 * HOUR, 3 * HOUR, 6 * MINUTE);
        let broken = self.record(&self.backup, 2 * HOUR, 5 * MINUTE);
        let mut broken = self.failing(broken, Status::Error, "connection closed");
        broken.lines = Some(Arc::new(said()));
        records.push(broken);
        let panicked = self.record(&self.pump, 90 * MINUTE, Duration::from_millis(3));
        records.push(self.failing(panicked, Status::Panicked, "the pump is dry"));
        let count = records.len() as u64;
        self.persist(&second, records).await;
        let lost = Gap {
            session: second.id,
            reason: DropReason::Overflow.into(),
            count: 12,
            first_at: self.ago(DAY + MINUTE),
            last_at: self.ago(DAY),
            entities: vec![(Arc::clone(&self.hall.entity), 12)],
        };
        self.store.record_gaps(vec![lost]).await.ok()?;
        let asleep = MissedRuns {
            session: Some(second.id),
            entity: Arc::clone(&self.backup.entity),
            reason: MissedReason::Asleep,
            count: 3,
            first_due: self.ago(3 * DAY),
            last_due: self.ago(3 * DAY - 2 * HOUR),
        };
        self.store.record_missed(vec![asleep]).await.ok()?;
        let mut ledger = stored(count);
        ledger.offered += 12;
        ledger.add_dropped(DropReason::Overflow, 12);
        let ended = SessionEnd {
            at: self.ago(HOUR),
            status: SessionStatus::Success,
            failure: None,
            ledger,
        };
        self.store.close_session(second.id, ended).await.ok()?;
        let old = PruneRule::EndedBefore(self.ago(13 * DAY));
        while self.store.prune(PruneSlice::new(old, 1_000)).await.ok()? > 0 {}
        self.store.close().await.ok()?;
        Some(())
    }
}
