//! The executions that most checks of a history begin with.

use std::sync::Arc;
use std::time::Duration;

use executor_core::lines::Lines;
use executor_core::ports::{Scope, Session, Store};
use executor_core::record::RecordFlags;
use executor_core::{
    ExecutionId, ExecutionRecord, Failure, RegistrationId, SourceTier, Status, TimeoutOrigin,
    Timestamp,
};

use crate::conformance::persist;
use crate::samples;

pub(super) const COUNT: u64 = 60;

/// The data that a store was given: executions in the order of their ends, some at the same instant.
pub(super) struct Given {
    pub(super) sessions: [Arc<Session>; 2],
    pub(super) hall: RegistrationId,
    pub(super) dim: RegistrationId,
    pub(super) records: Vec<ExecutionRecord>,
}

impl Given {
    pub(super) async fn to<S: Store>(store: &S) -> Self {
        let (hall, dim) = (samples::listener("hall"), samples::job("dim"));
        let hall_row = store.register(hall.clone()).await.expect("registers");
        let dim_row = store.register(dim.clone()).await.expect("registers");
        let gone = samples::listener("gone");
        let sessions = [samples::session(), samples::session()];
        let numbered = (0..COUNT).map(|number| {
            // Three end at each instant.
            let at = number / 3 * 100;
            let record = match number % 3 {
                0 => samples::record(&hall, Some(hall_row), at),
                1 => samples::record(&gone, None, at),
                _ => samples::record(&dim, Some(dim_row), at),
            };
            varied(record, number)
        });
        let records: Vec<_> = numbered.collect();
        let (first, second) = records.split_at(COUNT as usize / 2);
        persist(store, &sessions[0], first.to_vec()).await;
        persist(store, &sessions[1], second.to_vec()).await;
        Self {
            sessions,
            hall: RegistrationId::listener(hall_row),
            dim: RegistrationId::job(dim_row),
            records,
        }
    }

    pub(super) fn scopes(&self) -> Vec<Scope> {
        let app_key = &self.records[0].subject.entity.app_key;
        vec![
            Scope::All,
            Scope::Session(self.sessions[1].id),
            Scope::App(app_key.clone()),
            Scope::App("nobody".into()),
            Scope::Registration(self.hall),
            Scope::Registration(self.dim),
        ]
    }

    pub(super) fn ids_where(&self, is_one: impl Fn(u64) -> bool) -> Vec<ExecutionId> {
        let numbered = (0..COUNT).zip(&self.records);
        let found = numbered.filter(|(number, _)| is_one(*number));
        found.map(|(_, record)| record.execution_id).collect()
    }
}

/// Varies a record, so that all its fields are used. Each record takes 5 ms, except every seventh.
fn varied(mut record: ExecutionRecord, number: u64) -> ExecutionRecord {
    record.status = status_of(number);
    record.failure = (record.status != Status::Success).then(|| failure(number).into());
    record.flags = flags(number, record.status);
    if number.is_multiple_of(5) {
        record.source_tier = SourceTier::Framework;
    }
    if is_long(number) {
        record.duration = Duration::from_millis(2_005);
        record.started_at = Timestamp::from_micros(record.started_at.as_micros() - 2_000_000);
    }
    record.topic = number
        .is_multiple_of(9)
        .then(|| format!("motion.{}", number % 2).into());
    record.due_at = number
        .is_multiple_of(4)
        .then(|| Timestamp::from_micros(number as i64));
    record.exit_code = number.is_multiple_of(3).then_some(-(number as i32));
    record.lines = number.is_multiple_of(11).then(|| lines(number).into());
    record.arguments_json = number
        .is_multiple_of(8)
        .then(|| format!("[{number}]").into());
    record
}

pub(super) const fn status_of(number: u64) -> Status {
    Status::ALL[(number % Status::ALL.len() as u64) as usize]
}

pub(super) const fn is_long(number: u64) -> bool {
    number.is_multiple_of(7)
}

fn failure(number: u64) -> Failure {
    Failure {
        error_type: format!("Error{}", number % 4),
        message: format!("it broke: Part {number}"),
        report: number.is_multiple_of(2).then(|| "all of it".into()),
    }
}

fn flags(number: u64, status: Status) -> RecordFlags {
    RecordFlags {
        is_di_failure: number.is_multiple_of(2),
        thread_leaked: number.is_multiple_of(3),
        overran: number.is_multiple_of(4),
        timeout_origin: (status == Status::TimedOut).then_some(TimeoutOrigin::Handler),
        blocked: number
            .is_multiple_of(6)
            .then(|| Duration::from_millis(number)),
    }
}

fn lines(number: u64) -> Lines {
    let body = format!("12 o [] line {number}\n15 E [a::b] broken\n");
    Lines::from_parts(2, number + 2, 900, number.is_multiple_of(2), body)
}
