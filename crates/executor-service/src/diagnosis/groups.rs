//! Groups failures by type and by the shape of their message, with numbers and ids taken out.

use std::collections::HashMap;

use executor_core::ports::{Filter, History, HistoryError, PageRequest, StoredExecution};
use executor_core::{ExecutionId, SessionId, Status, Timestamp};

/// The number of executions read at once: each may come with 64 KiB of what it said.
const PAGE: u32 = 500;

/// The number of listeners and jobs that a group names.
const WHERE_MAX: usize = 10;

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorGroup {
    /// The type of the error.
    pub error_type: String,
    /// The message, with `#` in place of numbers and ids.
    pub shape: String,
    /// The number of failures.
    pub count: u64,
    /// The end of the first one.
    pub first_at: Timestamp,
    /// The session that the first one is of.
    pub first_session: SessionId,
    /// The end of the last one.
    pub last_at: Timestamp,
    /// The last one.
    pub last: ExecutionId,
    /// Its message as it was.
    pub last_message: String,
    /// Where they happened, as `app/name`, most often first, at most ten.
    pub places: Vec<(String, u64)>,
}

/// The failures within a span of time, in groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorGroups {
    /// The groups, the largest first.
    pub groups: Vec<ErrorGroup>,
    /// The number of failures that were looked at.
    pub looked_at: u64,
    /// If there were more: the end of the earliest one that was looked at.
    pub looked_to: Option<Timestamp>,
}

/// Groups the failures that filters select, at most `max`, the latest ones of each filter. What two filters select is
/// counted twice. A filter without statuses selects every outcome with a failure: error, panicked, timed out and
/// interrupted.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_core::ports::HistoryError> {
/// use executor_core::ports::Filter;
/// use executor_service::diagnosis::error_groups;
/// use executor_testkit::MemoryStore;
///
/// let found = error_groups(&MemoryStore::new(), [Filter::default()], 10_000).await?;
/// assert!(found.groups.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The history cannot be read.
///
/// # Cancel safety
///
/// Dropping the future abandons the query.
pub async fn error_groups(
    history: &dyn History,
    filters: impl IntoIterator<Item = Filter>,
    max: u64,
) -> Result<ErrorGroups, HistoryError> {
    let mut sorting = Sorting::default();
    for mut filter in filters {
        if filter.statuses.is_empty() {
            filter.statuses = FAILED.to_vec();
        }
        if sorting.add_all(history, filter, max).await? {
            return Ok(sorting.conclude(true));
        }
    }
    Ok(sorting.conclude(false))
}

/// The outcomes with a failure.
const FAILED: [Status; 4] = [
    Status::Error,
    Status::Panicked,
    Status::TimedOut,
    Status::Interrupted,
];

#[derive(Default)]
struct Sorting {
    groups: HashMap<(String, String), (ErrorGroup, HashMap<String, u64>)>,
    looked_at: u64,
    looked_to: Option<Timestamp>,
}

impl Sorting {
    /// Adds what a filter selects. Returns whether there is more than `max` in all.
    async fn add_all(
        &mut self,
        history: &dyn History,
        filter: Filter,
        max: u64,
    ) -> Result<bool, HistoryError> {
        let mut request = PageRequest::first(PAGE);
        loop {
            let page = history.executions(filter.clone(), request.clone()).await?;
            for execution in &page.items {
                if self.looked_at == max {
                    return Ok(true);
                }
                self.add(execution);
            }
            match page.next {
                Some(next) => request = request.following(next),
                None => return Ok(false),
            }
        }
    }

    /// Adds an execution.
    fn add(&mut self, execution: &StoredExecution) {
        let record = &execution.record;
        let (ended_at, failure) = (record.ended_at(), record.failure.as_deref());
        self.looked_at += 1;
        let looked_to = self.looked_to.unwrap_or(ended_at);
        self.looked_to = Some(looked_to.min(ended_at));
        let error_type = failure.map_or(record.status.as_str(), |failure| &failure.error_type);
        let message = failure.map_or("", |failure| &failure.message);
        let key = (error_type.to_owned(), shape(message));
        let (group, places) = self.groups.entry(key).or_insert_with_key(|key| {
            let group = ErrorGroup {
                error_type: key.0.clone(),
                shape: key.1.clone(),
                count: 0,
                first_at: ended_at,
                first_session: execution.session,
                last_at: ended_at,
                last: record.execution_id,
                last_message: message.to_owned(),
                places: Vec::new(),
            };
            (group, HashMap::new())
        });
        if ended_at > group.last_at {
            (group.last_at, group.last) = (ended_at, record.execution_id);
            group.last_message = message.to_owned();
        }
        group.count += 1;
        if ended_at < group.first_at {
            (group.first_at, group.first_session) = (ended_at, execution.session);
        }
        let entity = &record.subject.entity;
        let place = format!("{}/{}", entity.app_key, entity.name);
        *places.entry(place).or_default() += 1;
    }

    fn conclude(self, is_cut: bool) -> ErrorGroups {
        let groups = self.groups.into_values().map(|(group, places)| {
            let mut places: Vec<_> = places.into_iter().collect();
            places.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
            places.truncate(WHERE_MAX);
            ErrorGroup { places, ..group }
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by(|one, other| {
            let by_count = other.count.cmp(&one.count);
            by_count.then_with(|| (other.last_at, &one.shape).cmp(&(one.last_at, &other.shape)))
        });
        ErrorGroups {
            groups,
            looked_at: self.looked_at,
            looked_to: self.looked_to.filter(|_| is_cut),
        }
    }
}

/// Returns the shape of a message: each word with a digit in it becomes a `#`, except for its punctuation.
pub fn shape(message: &str) -> String {
    let mut shape = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find(is_of_word) {
        shape.push_str(&rest[..start]);
        let word = &rest[start..];
        let end = word.find(|char| !is_of_word(char)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let is_fixed = !word.contains(|char: char| char.is_ascii_digit());
        shape.push_str(if is_fixed { word } else { "#" });
        rest = after;
    }
    shape.push_str(rest);
    shape
}

/// What numbers, ids and times are made of, besides letters.
fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_')
}

#[cfg(test)]
mod tests;
