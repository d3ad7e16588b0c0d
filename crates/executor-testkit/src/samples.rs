//! Sample data for a store, with defaults for everything that a test does not care about.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Session;
use executor_core::record::RecordFlags;
use executor_core::registration::Details;
use executor_core::{
    Entity, EntityKind, ExecutionId, ExecutionRecord, Registration, RowId, SessionId, SourceTier,
    Status, Subject, Timestamp, Trigger, TriggerMode,
};

/// 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Creates a session that began at 2026-01-01T00:00:00Z, with a fresh id.
///
/// ```
/// assert_eq!(executor_testkit::session().host, "testhost");
/// ```
pub fn session() -> Arc<Session> {
    Arc::new(Session {
        pid: 4_711,
        ..Session::new(SessionId::new(START), "testhost", START)
    })
}

/// Creates a listener of the app `lights` on the topic `motion.hall`.
///
/// ```
/// let hall = executor_testkit::listener("hall");
/// assert_eq!(hall.entity.to_string(), "lights[0].hall on motion.hall");
/// ```
pub fn listener(name: &str) -> Registration {
    let entity = Entity::listener("lights", 0, name, "motion.hall");
    Registration::new(entity, Details::new(SourceTier::App))
}

/// Creates a job of the app `lights`.
///
/// ```
/// assert_eq!(executor_testkit::job("dim").entity.to_string(), "lights[0].dim");
/// ```
pub fn job(name: &str) -> Registration {
    let entity = Entity::job("lights", 0, name);
    Registration::new(entity, Details::new(SourceTier::App))
}

/// Creates a successful execution of a listener for an event, or of a job by hand. It takes 5 ms and begins `at_ms`
/// milliseconds after the session.
///
/// ```
/// let hall = executor_testkit::listener("hall");
/// let record = executor_testkit::record(&hall, None, 10);
/// assert_eq!(record.duration.as_millis(), 5);
/// ```
pub fn record(registration: &Registration, row: Option<RowId>, at_ms: u64) -> ExecutionRecord {
    let entity = Arc::clone(&registration.entity);
    let trigger = match entity.kind {
        EntityKind::Listener => Trigger::Event {
            id: Some(Arc::from("event-1")),
            origin: Arc::from("LOCAL"),
        },
        EntityKind::Job => Trigger::Job(TriggerMode::Manual),
    };
    success(Subject { entity, row }, trigger, at_ms)
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
        topic: None,
        due_at: None,
        exit_code: None,
        lines: None,
        generation: 0,
        retry_count: 0,
        attempt_number: 1,
        arguments_json: None,
    }
}
