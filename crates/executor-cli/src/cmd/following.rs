//! Finds executions as they are stored, for verbs that go on.

use std::collections::HashMap;
use std::time::Duration;

use command_executor::{
    ExecutionId, Filter, HistoryErrorClass, Order, PageRequest, StoredExecution, Timestamp,
};

use crate::args::verbs::Selection;
use crate::cmd::looking::Looking;
use crate::exit::Failure;
use crate::output::{console, shown};

/// The time between two looks.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// Executions are stored in no strict order: one is found if it is stored within this time after others that ended
/// later.
const LATE: Duration = Duration::from_secs(60);

/// What was found already.
pub(crate) struct Following {
    /// Executions that ended before this are not looked for any more.
    from: Timestamp,
    seen: HashMap<ExecutionId, Timestamp>,
    is_away: bool,
}

impl Following {
    /// Follows what is stored from now on. What is there already is only noted.
    pub(crate) async fn begin(
        looking: &Looking,
        selection: &Selection,
        line_text: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut following = Self {
            from: shown::now().saturating_sub(LATE),
            seen: HashMap::new(),
            is_away: false,
        };
        following.look(looking, selection, line_text).await?;
        Ok(following)
    }

    /// Notes what is shown already.
    pub(crate) fn note(&mut self, found: &[StoredExecution]) {
        for execution in found {
            let record = &execution.record;
            self.seen.insert(record.execution_id, record.ended_at());
        }
        let latest = found.iter().map(|it| it.record.ended_at()).max();
        let from = latest.map_or(self.from, |latest| latest.saturating_sub(LATE));
        self.from = self.from.max(from);
        self.seen.retain(|_, ended_at| *ended_at >= self.from);
    }

    /// Returns what has been stored since the last look, the oldest first. A database that is away is waited for.
    pub(crate) async fn look(
        &mut self,
        looking: &Looking,
        selection: &Selection,
        line_text: Option<&str>,
    ) -> Result<Vec<StoredExecution>, Failure> {
        let found = self.all(looking, selection, line_text).await;
        let Some(mut found) = self.unless_away(found)? else {
            return Ok(Vec::new());
        };
        found.sort_by_key(|it| it.record.ended_at());
        self.note(&found);
        Ok(found)
    }

    /// Passes on what was answered; `None` if the database was away.
    pub(crate) fn unless_away<T>(
        &mut self,
        answer: Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        match answer {
            Err(Failure::Query(error)) if error.class == HistoryErrorClass::Unavailable => {
                if !self.is_away {
                    console::say("the database cannot be read now; waiting");
                }
                self.is_away = true;
                Ok(None)
            }
            answer => {
                self.is_away = false;
                answer.map(Some)
            }
        }
    }

    async fn all(
        &self,
        looking: &Looking,
        selection: &Selection,
        line_text: Option<&str>,
    ) -> Result<Vec<StoredExecution>, Failure> {
        let mut found = Vec::new();
        for filter in looking.filters(selection, line_text).await? {
            found.extend(self.fresh(looking, filter).await?);
        }
        Ok(found)
    }

    async fn fresh(
        &self,
        looking: &Looking,
        mut filter: Filter,
    ) -> Result<Vec<StoredExecution>, Failure> {
        filter.from = filter.from.max(Some(self.from));
        let (mut fresh, mut request) = (
            Vec::new(),
            Some(PageRequest {
                order: Order::OldestFirst,
                ..PageRequest::first(1_000)
            }),
        );
        while let Some(page) = request {
            let answer = looking
                .history
                .executions(filter.clone(), page.clone())
                .await?;
            let items = answer.items.into_iter();
            fresh.extend(items.filter(|it| !self.seen.contains_key(&it.record.execution_id)));
            request = answer.next.map(|next| page.following(next));
        }
        Ok(fresh)
    }
}
