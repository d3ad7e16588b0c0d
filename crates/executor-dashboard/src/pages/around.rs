//! What was before, after and beside an execution, and what is usual for its listener or job.

use std::time::Duration;

use executor_core::ports::{Filter, Order, PageRequest, Scope, Stats, StoredExecution};
use executor_core::record::ExecutionRecord;
use executor_core::{ExecutionId, RegistrationId, Status, Timestamp};
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
        let ended = record.ended_at();
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
        let (last, any) = (vec![Status::Success], Vec::new());
        around.previous = before(asked, record, &scope, any).await?;
        around.last_success = before(asked, record, &scope, last).await?;
        around.next = after(asked, record, &scope).await?;
        Ok(around)
    }
}

/// Several may have ended in the same microsecond; their ids then tell which was first.
fn key(record: &ExecutionRecord) -> (Timestamp, ExecutionId) {
    (record.ended_at(), record.execution_id)
}

/// The last of these statuses before it.
async fn before(
    asked: &Asked,
    record: &ExecutionRecord,
    scope: &Scope,
    statuses: Vec<Status>,
) -> Result<Option<StoredExecution>, Refused> {
    let filter = Filter {
        scope: scope.clone(),
        statuses,
        to: Some(record.ended_at().saturating_add(Duration::from_micros(1))),
        ..Filter::default()
    };
    let near = near(asked, filter, Order::LatestFirst).await?.into_iter();
    let earlier = near.filter(|it| key(&it.record) < key(record));
    Ok(earlier.max_by_key(|it| key(&it.record)))
}

/// The first after it.
async fn after(
    asked: &Asked,
    record: &ExecutionRecord,
    scope: &Scope,
) -> Result<Option<StoredExecution>, Refused> {
    let filter = Filter {
        scope: scope.clone(),
        from: Some(record.ended_at()),
        ..Filter::default()
    };
    let near = near(asked, filter, Order::OldestFirst).await?.into_iter();
    let later = near.filter(|it| key(&it.record) > key(record));
    Ok(later.min_by_key(|it| key(&it.record)))
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
