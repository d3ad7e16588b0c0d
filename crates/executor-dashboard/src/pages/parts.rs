//! What several pages show: a moment, an execution in a list, a part of a chart, a listener or job.

use executor_core::ports::{
    Gap, PageRequest, Scope, StoredExecution, StoredRegistration, all_pages,
};
use executor_core::{Entity, EntityKind, RegistrationId, Status, Timestamp};
use serde::{Serialize, Serializer};

use crate::answer::Refused;
use crate::charts::Part;
use crate::pages::Asked;
use crate::question::Range;
use crate::shown;

/// A moment: microseconds for machines, the clock of this machine for people, UTC where they point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl Moment {
    pub(crate) fn local(&self) -> String {
        shown::time(self.0)
    }

    pub(crate) fn utc(&self) -> String {
        shown::utc(self.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0.as_micros())
    }
}

/// An execution in a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) short_id: String,
    pub(crate) what: String,
    /// Where its listener or job is, if it is registered.
    #[serde(skip)]
    pub(crate) of: Option<String>,
    pub(crate) status: &'static str,
    #[serde(rename = "ended_us")]
    pub(crate) ended: Moment,
    pub(crate) duration_us: u64,
    #[serde(skip)]
    pub(crate) took: String,
    pub(crate) why: String,
}

impl Row {
    pub(crate) fn of(stored: &StoredExecution) -> Self {
        let record = &stored.record;
        let entity = &record.subject.entity;
        Self {
            id: record.execution_id.to_string(),
            short_id: record.execution_id.short(),
            what: shown::name_of(entity),
            of: record.subject.row.map(|row| {
                path_of(RegistrationId {
                    kind: entity.kind,
                    row,
                })
            }),
            status: record.status.as_str(),
            ended: Moment(record.ended_at()),
            duration_us: u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX),
            took: shown::took_of(stored),
            why: shown::why(stored),
        }
    }
}

/// The page of a listener or job.
pub(crate) fn path_of(id: RegistrationId) -> String {
    format!("/handlers/{}/{}", shown::kind_of(id.kind), id.row.get())
}

/// What failed, for filters.
pub(crate) const FAILED: [Status; 4] = [
    Status::Error,
    Status::Panicked,
    Status::TimedOut,
    Status::Interrupted,
];

/// The number of parts that a chart has.
pub(crate) const PARTS: i64 = 48;

/// What became of the executions of a scope, part by part of the range. `selection` goes into the links.
pub(crate) async fn parts(
    asked: &Asked,
    scope: Scope,
    selection: &[(&str, &str)],
) -> Result<Vec<Part>, Refused> {
    let bounds = asked.range.parts(PARTS);
    let all = asked.history().series(scope, bounds.clone()).await?;
    let gaps = gaps(asked, &asked.range).await?;
    let parts = bounds.windows(2).zip(all);
    let parts = parts.map(|(bounds, stats)| {
        let (from, to) = (bounds[0], bounds[1]);
        let (since, until) = (from.as_micros().to_string(), to.as_micros().to_string());
        let mut link = vec![("since", since.as_str()), ("until", until.as_str())];
        link.extend_from_slice(selection);
        Part {
            from,
            to,
            stats,
            lost: lost_in(&gaps, from, to),
            link: format!("/executions?{}", asked.question.range_with(&link)),
        }
    });
    Ok(parts.collect())
}

/// The episodes of loss in a range.
pub(crate) async fn gaps(asked: &Asked, range: &Range) -> Result<Vec<Gap>, Refused> {
    let (history, window) = (asked.history(), range.window());
    Ok(all_pages(|page| history.gaps(window.clone(), page)).await?)
}

/// How many records the episodes have lost that touch a span: more than the span's own, if they go beyond it.
fn lost_in(gaps: &[Gap], from: Timestamp, to: Timestamp) -> u64 {
    let touching = gaps
        .iter()
        .filter(|gap| gap.first_at < to && gap.last_at >= from);
    touching.map(|gap| gap.count).sum()
}

/// A part of a chart in its table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PartRow {
    #[serde(rename = "from_us")]
    pub(crate) from: Moment,
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    pub(crate) p95_us: u64,
    #[serde(skip)]
    pub(crate) p95: String,
}

impl PartRow {
    pub(crate) fn of(part: &Part) -> Self {
        let p95 = part.stats.p95;
        Self {
            from: Moment(part.from),
            runs: part.stats.runs(),
            failed: failed(&part.stats),
            lost: part.lost,
            p95_us: u64::try_from(p95.as_micros()).unwrap_or(u64::MAX),
            p95: shown::took(p95),
        }
    }

    /// Those in which something happened.
    pub(crate) fn all(parts: &[Part]) -> Vec<Self> {
        let rows = parts.iter().map(Self::of);
        rows.filter(|row| row.runs > 0 || row.lost > 0).collect()
    }
}

pub(crate) fn failed(stats: &executor_core::ports::Stats) -> u64 {
    FAILED.iter().map(|status| stats.count(*status)).sum()
}

/// Finds a registration by the parts of its page's path.
pub(crate) async fn registration(
    asked: &Asked,
    kind: &str,
    row: &str,
) -> Result<StoredRegistration, Refused> {
    let absent = || Refused::Absent(format!("no {kind} has the number {row}"));
    let kind = EntityKind::ALL
        .into_iter()
        .find(|it| shown::kind_of(*it) == kind)
        .ok_or_else(absent)?;
    let all = registrations(asked, kind).await?;
    let mut all = all.into_iter();
    all.find(|it| it.id.row.get().to_string() == row)
        .ok_or_else(absent)
}

pub(crate) async fn registrations(
    asked: &Asked,
    kind: EntityKind,
) -> Result<Vec<StoredRegistration>, Refused> {
    let history = asked.history();
    let filter = executor_core::ports::RegistrationFilter::of(kind);
    Ok(all_pages(|page: PageRequest| history.registrations(filter.clone(), page)).await?)
}

/// `app/name` as a command line has it.
pub(crate) fn word_of(entity: &Entity) -> String {
    crate::pages::quoted(&shown::name_of(entity))
}
