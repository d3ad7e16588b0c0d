//! Writes the history of a night in which much goes wrong, for tests of what people see: `night DATABASE`. A new version
//! makes a report slow and lets it fail, the process was killed before, a backup was missed meanwhile, records were lost,
//! and some texts want to be more than texts.
// A program of the tests is a test.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use command_executor::lines::Lines;
use command_executor::ports::{
    Batch, Gap, Housekeeping as _, MissedReason, MissedRuns, RecordStore as _, Registered,
    RegistrationStore as _, SchedulePlan, ScheduleStore as _, Session, SessionEnd, SessionStatus,
    SessionStore as _,
};
use command_executor::record::{ExecutionRecord, RecordFlags, Trigger, TriggerMode};
use command_executor::registration::{Details, Registration};
use command_executor::{
    DropReason, Entity, EntityKind, ExecutionId, Failure, Ledger, SessionId, SourceTier,
    SqliteStore, Status, Subject, Timestamp,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const HOSTILE: &str = "</pre><script>document.title='hacked'</script>\"'><img src=x onerror=alert(1)>\u{202e}\u{1b}[31m";

struct Night {
    store: SqliteStore,
    now: Timestamp,
    backup: Subject,
    report: Subject,
    hall: Subject,
    hostile: Subject,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let path = std::env::args().nth(1).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let subject = async |entity: Entity| {
        let registration = Registration::new(entity, Details::new(SourceTier::App));
        let entity = Arc::clone(&registration.entity);
        let row = Some(store.register(registration).await.unwrap());
        Subject { entity, row }
    };
    let night = Night {
        backup: subject(Entity::job("house", 0, "backup")).await,
        report: subject(Entity::job("house", 0, "report")).await,
        hall: subject(Entity::listener("lights", 0, "hall", "motion.hall")).await,
        hostile: subject(Entity::listener(HOSTILE, 0, HOSTILE, HOSTILE)).await,
        now: Timestamp::from_micros(wall_clock()),
        store,
    };
    night.write().await;
}

fn wall_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_micros()).unwrap()
}

impl Night {
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

    fn failed(
        mut record: ExecutionRecord,
        status: Status,
        kind: &str,
        message: &str,
    ) -> ExecutionRecord {
        record.status = status;
        record.failure = Some(Arc::new(Failure {
            error_type: kind.into(),
            message: message.into(),
            report: Some(format!("{kind}: {message}\n  at night")),
        }));
        let body = format!("100 o [] begins\n200 e [] {message}\n");
        record.lines = Some(Arc::new(Lines::from_parts(2, 2, 30, false, body)));
        record
    }

    async fn session(&self, from: Duration, version: &str) -> Arc<Session> {
        let at = self.ago(from);
        let mut session = Session::new(SessionId::new(at), "attic", at);
        session.program = Some("house".into());
        session.version = Some(version.into());
        let session = Arc::new(session);
        self.store.open_session(Arc::clone(&session)).await.unwrap();
        for (job, text) in [(&self.backup, "every 1h"), (&self.report, "every 30m")] {
            let registered = Registered {
                id: command_executor::identity::RegistrationId::job(job.row.unwrap()),
                session: session.id,
                at,
                plan: Some(SchedulePlan {
                    text: text.into(),
                    time_zone: None,
                    jitter: Duration::ZERO,
                    missed: "skip".into(),
                    is_persistent: false,
                }),
            };
            self.store.note_schedule(registered.clone()).await.unwrap();
            self.store.take_charge(vec![registered]).await.unwrap();
        }
        session
    }

    /// What runs as it should: backups each hour, reports each half hour, motion every ten minutes.
    fn ordinary(&self, from: Duration, to: Duration, report: Duration) -> Vec<ExecutionRecord> {
        let mut records = Vec::new();
        for (of, every, took) in [
            (&self.backup, HOUR, 3 * MINUTE),
            (&self.report, HOUR / 2, report),
            (&self.hall, 10 * MINUTE, Duration::from_millis(8)),
        ] {
            let mut ago = from.saturating_sub(every / 2);
            while ago > to {
                let mut record = self.record(of, ago, took);
                if of.entity.kind == EntityKind::Job {
                    let body = format!("100 o [] begins\n900 o [] {} done\n", of.entity.name);
                    record.lines = Some(Arc::new(Lines::from_parts(2, 2, 30, false, body)));
                }
                records.push(record);
                ago = ago.saturating_sub(every);
            }
        }
        records
    }

    async fn close(
        &self,
        session: Arc<Session>,
        mut records: Vec<ExecutionRecord>,
        end: (Duration, SessionStatus, u64),
    ) {
        records.sort_by_key(ExecutionRecord::ended_at);
        let (ago, status, lost) = end;
        let stored = records.len() as u64;
        let mut ledger = Ledger {
            offered: stored + lost,
            stored,
            ..Ledger::default()
        };
        ledger.add_dropped(DropReason::Overflow, lost);
        let id = session.id;
        let batch = Arc::new(Batch { session, records });
        self.store.persist(batch).await.unwrap();
        let end = SessionEnd {
            at: self.ago(ago),
            status,
            failure: None,
            ledger,
        };
        self.store.close_session(id, end).await.unwrap();
    }

    async fn write(self) {
        let killed = 9 * HOUR;
        let first = self.session(36 * HOUR, "1.3.0").await;
        let mut records = self.ordinary(36 * HOUR, killed, Duration::from_secs(2));
        let cut = self.record(&self.backup, killed, MINUTE);
        records.push(Self::failed(
            cut,
            Status::Interrupted,
            "interrupted",
            "the process ended",
        ));
        self.close(first, records, (killed, SessionStatus::Crashed, 0))
            .await;

        let begun = 7 * HOUR + 40 * MINUTE;
        let second = self.session(begun, "1.4.0").await;
        let mut records = self.ordinary(begun, 5 * MINUTE, Duration::from_secs(41));
        for (number, ago) in [6 * HOUR, 4 * HOUR, 2 * HOUR, HOUR / 3]
            .into_iter()
            .enumerate()
        {
            let report = self.record(&self.report, ago, Duration::from_secs(55));
            let message = format!("manifest {number} has no field `rooms`");
            records.push(Self::failed(
                report,
                Status::Error,
                "ManifestError",
                &message,
            ));
        }
        let hostile = self.record(&self.hostile, HOUR, Duration::from_millis(3));
        let mut hostile = Self::failed(hostile, Status::Panicked, HOSTILE, HOSTILE);
        hostile.topic = Some(HOSTILE.into());
        hostile.arguments_json = Some(HOSTILE.into());
        records.push(hostile);
        let lost = Gap {
            session: second.id,
            reason: DropReason::Overflow.into(),
            count: 37,
            first_at: self.ago(5 * HOUR + 2 * MINUTE),
            last_at: self.ago(5 * HOUR),
            entities: vec![(Arc::clone(&self.hall.entity), 37)],
        };
        // The planned times while no process ran, in step with `ordinary`.
        let missed = |of: &Subject, count, first, last| MissedRuns {
            session: Some(second.id),
            entity: Arc::clone(&of.entity),
            reason: MissedReason::NoProcess,
            count,
            first_due: self.ago(first),
            last_due: self.ago(last),
        };
        let backup = 8 * HOUR + 33 * MINUTE;
        let report = 8 * HOUR + 45 * MINUTE + Duration::from_secs(2);
        let missed = vec![
            missed(&self.backup, 1, backup, backup),
            missed(&self.report, 3, report, report.saturating_sub(HOUR)),
        ];
        self.store.record_gaps(vec![lost]).await.unwrap();
        self.store.record_missed(missed).await.unwrap();
        self.close(second, records, (5 * MINUTE, SessionStatus::Success, 37))
            .await;
        self.store.close().await.unwrap();
    }
}
