//! What several pages show: a moment, an execution in a list, a part of a chart, a listener or job.

use std::collections::HashMap;

use executor_core::ports::{
    Filter, Gap, MissedRuns, PageRequest, Scope, Stats, StoredExecution, StoredRegistration,
    Window, all_pages,
};
use executor_core::{Entity, EntityKind, RegistrationId, Status, Timestamp};
use executor_service::diagnosis::{ErrorGroups, error_groups};
use serde::{Serialize, Serializer};

use crate::answer::Refused;
use crate::charts::Part;
use crate::pages::asked::Asked;
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
    session: String,
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
            session: stored.session.to_string(),
            what: entity.path(),
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

/// What became of the executions of a scope, part by part of the range. `selection` goes into the links.
pub(crate) async fn parts(
    asked: &Asked,
    scope: Scope,
    of: Option<&Entity>,
    selection: &[(&str, &str)],
) -> Result<Vec<Part>, Refused> {
    let bounds = asked.range.parts();
    let all = asked.history().series(scope, bounds.clone()).await?;
    let mut gaps = gaps(asked, &asked.range).await?;
    if let Some(of) = of {
        gaps.iter_mut().for_each(|gap| gap.count = lost_of(gap, of));
        gaps.retain(|gap| gap.count > 0);
    }
    let parts = bounds.windows(2).zip(all);
    let parts = parts.map(|(bounds, stats)| {
        let (from, to) = (bounds[0], bounds[1]);
        let (since, until) = (from.as_micros().to_string(), to.as_micros().to_string());
        let mut link = vec![("since", since.as_str()), ("until", until.as_str())];
        link.extend_from_slice(selection);
        let (lost, is_exact) = lost_in(&gaps, from, to);
        Part {
            from,
            to,
            stats,
            lost,
            is_exact,
            link: asked.link(&format!("/executions?{}", asked.question.range_with(&link))),
        }
    });
    Ok(parts.collect())
}

/// The figures of a window, for each listener and job.
pub(crate) async fn stats_of(
    asked: &Asked,
    window: Window,
) -> Result<HashMap<Entity, Stats>, Refused> {
    let summaries = asked.history().summaries(window).await?;
    let stats = summaries.into_iter().map(|it| (it.entity, it.stats));
    Ok(stats.collect())
}

/// The failures of the range in groups, at most so many of the latest.
pub(crate) async fn failures(asked: &Asked, most: u64) -> Result<ErrorGroups, Refused> {
    let filter = Filter {
        from: Some(asked.range.from),
        to: asked.range.window().to,
        ..Filter::default()
    };
    Ok(error_groups(asked.history(), [filter], most).await?)
}

/// The episodes of loss in a range.
pub(crate) async fn gaps(asked: &Asked, range: &Range) -> Result<Vec<Gap>, Refused> {
    let (history, window) = (asked.history(), range.window());
    Ok(all_pages(|page| history.gaps(window.clone(), page)).await?)
}

/// The planned runs that were missed in the range.
pub(crate) async fn missed_runs(asked: &Asked) -> Result<Vec<MissedRuns>, Refused> {
    let (history, window) = (asked.history(), asked.range.window());
    Ok(all_pages(|page| history.missed_runs(window.clone(), page)).await?)
}

/// How many records of one listener or job an episode has lost, as far as it tells.
pub(crate) fn lost_of(gap: &Gap, of: &Entity) -> u64 {
    let own = gap.entities.iter().filter(|(entity, _)| **entity == *of);
    own.map(|(_, count)| count).sum()
}

/// How many records were lost in a span by the episodes that touch it, and whether all of them were.
fn lost_in(gaps: &[Gap], from: Timestamp, to: Timestamp) -> (u64, bool) {
    let touching = gaps
        .iter()
        .filter(|gap| gap.first_at < to && gap.last_at >= from);
    let is_within = |gap: &&Gap| gap.first_at >= from && gap.last_at < to;
    (
        touching.clone().map(|gap| gap.count).sum(),
        touching.clone().all(|gap| is_within(&gap)),
    )
}

/// A part of a chart in its table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PartRow {
    #[serde(rename = "from_us")]
    pub(crate) from: Moment,
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    /// Of episodes that go beyond it, all that they have lost.
    #[serde(rename = "lost_at_most")]
    pub(crate) lost: u64,
    #[serde(skip)]
    pub(crate) lost_in_words: String,
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
            lost_in_words: part.lost_in_words(),
            p95_us: u64::try_from(p95.as_micros()).unwrap_or(u64::MAX),
            p95: if part.stats.runs() > 0 {
                shown::took(p95)
            } else {
                "–".into()
            },
        }
    }

    /// Those in which something happened.
    pub(crate) fn all(parts: &[Part]) -> Vec<Self> {
        let rows = parts.iter().map(Self::of);
        rows.filter(|row| row.runs > 0 || row.lost > 0).collect()
    }
}

pub(crate) fn failed(stats: &Stats) -> u64 {
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
    shown::quoted(&entity.path())
}
