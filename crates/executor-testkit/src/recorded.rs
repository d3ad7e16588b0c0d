//! Asserts in one line how executions ended; a failure lists what was recorded instead.

use executor_core::{ExecutionRecord, Status};

/// Asserts how the executions of a listener or job ended, in the order in which they were stored.
///
/// ```
/// use executor_core::{Batch, RecordStore, Status};
/// use executor_testkit::{MemoryStore, assert_recorded, listener, record, session};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryStore::new();
/// let records = vec![record(&listener("hall"), None, 0)];
/// store.persist(Batch { session: session(), records }.into()).await.unwrap();
/// assert_recorded!(store.records(), "hall" => [Status::Success]);
/// assert_recorded!(store.records(), "kitchen" => []);
/// # }
/// ```
///
/// With the feature `sqlite`, `database.records().await` of a `TempDatabase` works too.
#[macro_export]
macro_rules! assert_recorded {
    ($records:expr, $name:expr => [$($status:expr),* $(,)?]) => {
        $crate::check_recorded($records.as_ref(), $name, &[$($status),*])
    };
}

/// Implements [`assert_recorded!`](crate::assert_recorded).
///
/// # Panics
///
/// The executions with this name ended differently.
#[track_caller]
pub fn check_recorded(records: &[ExecutionRecord], name: &str, expected: &[Status]) {
    let of_name = records.iter().filter(|record| name_of(record) == name);
    let found: Vec<Status> = of_name.map(|record| record.status).collect();
    assert!(
        found == expected,
        "`{name}` ended in {found:?}, not {expected:?}; recorded were:\n{}",
        table(records)
    );
}

fn name_of(record: &ExecutionRecord) -> &str {
    &record.subject.entity.name
}

fn table(records: &[ExecutionRecord]) -> String {
    let line = |record: &ExecutionRecord| {
        let failure = record.failure.as_deref();
        let said = failure.map_or("", |failure| failure.message.as_str());
        format!("  {} {} {said}\n", name_of(record), record.status.as_str())
    };
    records.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
