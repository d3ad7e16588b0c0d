//! Plain data to feed to a store: what a test does not care about is filled in.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Session;
use executor_core::record::RecordFlags;
use executor_core::registration::{Details, ScheduleText};
use executor_core::{
    ExecutionId, ExecutionRecord, JobId, JobKey, JobRegistration, ListenerId, ListenerKey,
    ListenerRegistration, SessionId, SourceTier, Status, Subject, Timestamp, Trigger, TriggerMode,
};

/// 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A session that began at 2026-01-01T00:00:00Z, with a fresh id.
///
/// ```
/// assert_eq!(executor_testkit::session().host, "testhost");
/// ```
pub fn session() -> Arc<Session> {
    Arc::new(Session {
        id: SessionId::new(START),
        host: "testhost".into(),
        pid: 4_711,
        started_at: START,
    })
}

/// A listener of the app `lights` on the topic `motion.hall`.
///
/// ```
/// let hall = executor_testkit::listener("hall");
/// assert_eq!(hall.key.to_string(), "lights[0].hall on motion.hall");
/// ```
pub fn listener(name: &str) -> ListenerRegistration {
    ListenerRegistration {
        key: Arc::new(ListenerKey {
            app_key: "lights".into(),
            instance: 0,
            name: name.into(),
            topic: "motion.hall".into(),
        }),
        details: Details::new(SourceTier::App),
    }
}

/// A job of the app `lights`.
///
/// ```
/// assert_eq!(executor_testkit::job("dim").key.to_string(), "lights[0].dim");
/// ```
pub fn job(name: &str) -> JobRegistration {
    JobRegistration {
        key: Arc::new(JobKey {
            app_key: "lights".into(),
            instance: 0,
            name: name.into(),
        }),
        details: Details::new(SourceTier::App),
        handler_name: None,
        schedule: ScheduleText::manual(),
        group: None,
        arguments_json: None,
    }
}

/// A successful execution of a listener: 5 ms long, `at_ms` milliseconds after the session began.
///
/// ```
/// let hall = executor_testkit::listener("hall");
/// let record = executor_testkit::record(&hall, None, 10);
/// assert_eq!(record.duration.as_millis(), 5);
/// ```
pub fn record(
    listener: &ListenerRegistration,
    id: Option<ListenerId>,
    at_ms: u64,
) -> ExecutionRecord {
    let trigger = Trigger::Event {
        id: Some(Arc::from("event-1")),
        origin: Arc::from("LOCAL"),
    };
    let key = Arc::clone(&listener.key);
    success(Subject::Listener { key, id }, trigger, at_ms)
}

/// A successful run of a job, like [`record`].
///
/// ```
/// let dim = executor_testkit::job("dim");
/// let record = executor_testkit::record_of_job(&dim, None, 0);
/// assert_eq!(record.trigger.mode(), Some(executor_core::TriggerMode::Manual));
/// ```
pub fn record_of_job(job: &JobRegistration, id: Option<JobId>, at_ms: u64) -> ExecutionRecord {
    let key = Arc::clone(&job.key);
    success(
        Subject::Job { key, id },
        Trigger::Job(TriggerMode::Manual),
        at_ms,
    )
}

fn success(subject: Subject, trigger: Trigger, at_ms: u64) -> ExecutionRecord {
    let started_at = START.saturating_add(Duration::from_millis(at_ms));
    ExecutionRecord {
        execution_id: ExecutionId::new(started_at),
        subject,
        source_tier: SourceTier::App,
        status: Status::Success,
        started_at,
        duration: Duration::from_millis(5),
        failure: None,
        flags: RecordFlags::default(),
        trigger,
        generation: 0,
        retry_count: 0,
        attempt_number: 1,
        arguments_json: None,
    }
}
