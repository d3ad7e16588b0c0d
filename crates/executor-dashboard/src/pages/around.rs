//! What was before, after and beside an execution, and what is usual for its listener or job.

use std::time::Duration;

use executor_core::ports::{Filter, Order, PageRequest, Scope, Stats, StoredExecution};
use executor_core::record::ExecutionRecord;
use executor_core::{RegistrationId, Status, Timestamp};
use executor_service::diagnosis::{ErrorGroup, error_groups, shape};

use crate::answer::Refused;
use crate::pages::asked::Asked;
use crate::pages::parts::{FAILED, registrations};

/// How many that ran meanwhile are named.
pub(super) const BESIDE: u32 = 20;

/// What is usual is looked for so far before and after it.
const HALF_A_WEEK: Duration = Duration::from_secs(7 * 43_200);

/// How many failures are looked at for its kind.
const FAILURES_MAX: u64 = 1_000;

/// What was before, after and beside an execution.
pub(super) struct Around {
    pub(super) previous: Option<StoredExecution>,
    pub(super) next: Option<StoredExecution>,
    pub(super) last_success: Option<StoredExecution>,
    pub(super) beside: Vec<StoredExecution>,
    /// What its listener or job usually takes, in the week around it.
    pub(super) usual: Stats,
    /// How long it may take, as it is registered now.
    pub(super) timeout: Option<Duration>,
    /// The failures of its kind in that week, and whether there may be more.
    pub(super) alike: Option<(ErrorGroup, bool)>,
}

impl Around {
    pub(super) async fn read(asked: &Asked, stored: &StoredExecution) -> Result<Self, Refused> {
        let record = &stored.record;
        let (ended, id) = (record.ended_at(), record.execution_id);
        let own = record.subject.row.map(|row| RegistrationId {
            kind: record.subject.entity.kind,
            row,
        });
        let mut around = Self {
            previous: None,
            next: None,
            last_success: None,
            beside: beside(asked, record).await?,
            usual: Stats::default(),
            timeout: None,
            alike: None,
        };
        let Some(own) = own else {
            return Ok(around);
        };
        let scope = Scope::Registration(own);
        let week = (
            ended.saturating_sub(HALF_A_WEEK),
            ended.saturating_add(HALF_A_WEEK),
        );
        let usual = asked.history().series(scope.clone(), vec![week.0, week.1]);
        around.usual = usual.await?.into_iter().next().unwrap_or_default();
        let all = registrations(asked, own.kind).await?;
        let registered = all.iter().find(|it| it.id == own);
        around.timeout = registered.and_then(|it| it.registration.details.timeout);
        around.alike = alike(asked, record, &scope, week).await?;
        let of_it = Filter {
            scope,
            ..Filter::default()
        };
        // Several may have ended in the same microsecond; their ids then tell which was first.
        let key = |it: &StoredExecution| (it.record.ended_at(), it.record.execution_id);
        let before = Filter {
            to: Some(ended.saturating_add(Duration::from_micros(1))),
            ..of_it.clone()
        };
        let after = Filter {
            from: Some(ended),
            ..of_it
        };
        let succeeded = Filter {
            statuses: vec![Status::Success],
            ..before.clone()
        };
        let own = (ended, id);
        let earlier = near(asked, before, Order::LatestFirst).await?;
        let earlier = earlier.into_iter().filter(|it| key(it) < own);
        around.previous = earlier.max_by_key(key);
        let earlier = near(asked, succeeded, Order::LatestFirst).await?;
        let earlier = earlier.into_iter().filter(|it| key(it) < own);
        around.last_success = earlier.max_by_key(key);
        let later = near(asked, after, Order::OldestFirst).await?.into_iter();
        around.next = later.filter(|it| key(it) > own).min_by_key(key);
        Ok(around)
    }
}

/// How many are looked through for a neighbour: of more that ended in the same microsecond, some are passed over.
const NEAR: u32 = 20;

/// Those that a filter selects first.
async fn near(
    asked: &Asked,
    filter: Filter,
    order: Order,
) -> Result<Vec<StoredExecution>, Refused> {
    let request = PageRequest {
        order,
        ..PageRequest::first(NEAR)
    };
    Ok(asked.history().executions(filter, request).await?.items)
}

async fn beside(asked: &Asked, record: &ExecutionRecord) -> Result<Vec<StoredExecution>, Refused> {
    let filter = Filter {
        from: Some(record.started_at),
        started_before: Some(record.ended_at()),
        ..Filter::default()
    };
    let request = PageRequest {
        order: Order::OldestFirst,
        ..PageRequest::first(BESIDE + 2)
    };
    let page = asked.history().executions(filter, request).await?;
    let mut items = page.items;
    items.retain(|it| it.record.execution_id != record.execution_id);
    Ok(items)
}

/// The failures of its kind among the latest of its listener or job.
async fn alike(
    asked: &Asked,
    record: &ExecutionRecord,
    scope: &Scope,
    (from, to): (Timestamp, Timestamp),
) -> Result<Option<(ErrorGroup, bool)>, Refused> {
    let failure = record.failure.as_deref();
    let Some(failure) = failure.filter(|_| FAILED.contains(&record.status)) else {
        return Ok(None);
    };
    let filter = Filter {
        scope: scope.clone(),
        from: Some(from),
        to: Some(to),
        ..Filter::default()
    };
    let found = error_groups(asked.history(), [filter], FAILURES_MAX).await?;
    let is_cut = found.looked_to.is_some();
    let shape = shape(&failure.message);
    let mut groups = found.groups.into_iter();
    let group = groups.find(|it| it.error_type == failure.error_type && it.shape == shape);
    Ok(group.map(|group| (group, is_cut)))
}
