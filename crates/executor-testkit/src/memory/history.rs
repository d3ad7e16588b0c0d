//! Reads a store in memory: the simplest implementation of the port `History`.

use std::collections::BTreeMap;
use std::time::Duration;

use executor_core::identity::IdRanges;
use executor_core::ports::{
    Evidence, Filter, Gap, History, HistoryError, HistoryErrorClass, HistoryFuture, InForce,
    MissedRuns, Order, PageOf, PageRequest, PageToken, Pause, Progress, RecordedAction,
    RegistrationFilter, RegistrationState, RolledUpHour, Scope, SessionHour, SourceCounts, Stats,
    StoredExecution, StoredPrune, StoredRegistration, StoredSession, Summary, Window,
};
use executor_core::{
    Entity, ExecutionId, ExecutionRecord, RegistrationId, SessionId, Status, Timestamp,
};

use crate::pruning::hour_of;

use super::{MemoryStore, Row, SessionRow, Tables};

/// The place of an item in the order of its list.
type Place = (i64, i64);

impl MemoryStore {
    pub(super) fn read<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        look: impl FnOnce(&Tables) -> Result<T, HistoryError> + Send + 'a,
    ) -> HistoryFuture<'a, T> {
        Box::pin(async move {
            let tables = self.tables();
            if tables.is_away {
                let class = HistoryErrorClass::Unavailable;
                return Err(HistoryError::new(class, operation, "the store is away"));
            }
            look(&tables)
        })
    }
}

/// Cuts the requested page out of all matching items.
pub(super) fn page_of<T>(
    operation: &'static str,
    mut all: Vec<(Place, T)>,
    page: &PageRequest,
) -> Result<PageOf<T>, HistoryError> {
    all.sort_by_key(|(place, _)| *place);
    if page.order == Order::LatestFirst {
        all.reverse();
    }
    if let Some(token) = &page.after {
        let after = place_of(token).ok_or_else(|| {
            let why = format!("`{token}` is not a page token of this list");
            HistoryError::new(HistoryErrorClass::Invalid, operation, why)
        })?;
        all.retain(|(place, _)| match page.order {
            Order::LatestFirst => *place < after,
            Order::OldestFirst => *place > after,
        });
    }
    let has_more = all.len() > page.limit as usize;
    all.truncate(page.limit as usize);
    let next = all
        .last()
        .filter(|_| has_more)
        .map(|(place, _)| token_of(*place));
    Ok(PageOf {
        items: all.into_iter().map(|(_, item)| item).collect(),
        next,
        searched_to: None,
    })
}

fn token_of((time, number): Place) -> PageToken {
    PageToken::from(format!("{time}.{number}"))
}

fn place_of(token: &PageToken) -> Option<Place> {
    let (time, number) = token.as_str().split_once('.')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

impl Tables {
    fn is_in(&self, scope: &Scope, row: &Row) -> bool {
        match scope {
            Scope::All => true,
            Scope::Registration(id) => row.parent == Some(*id),
            Scope::App(app_key) => row.record.subject.entity.app_key == *app_key,
            Scope::Session(session) => row.session == *session,
        }
    }

    fn within(&self, window: &Window) -> impl Iterator<Item = &ExecutionRecord> {
        let filter = Filter {
            from: window.from,
            to: window.to,
            ..Filter::default()
        };
        let session = window.session;
        let of_session = move |row: &&Row| session.is_none_or(|session| row.session == session);
        let rows = self.rows.iter().filter(of_session);
        rows.filter(move |row| filter.matches(row.session, &row.record))
            .map(|row| &row.record)
    }
}

fn stored(row: &Row) -> StoredExecution {
    StoredExecution {
        session: row.session,
        record: row.record.clone(),
    }
}

/// Returns `true` if an execution has a duration: it ran, and for a known time.
fn has_run(record: &ExecutionRecord) -> bool {
    !matches!(record.status, Status::Skipped | Status::Interrupted)
}

fn stats_of(records: &[&ExecutionRecord]) -> Stats {
    let mut stats = Stats::default();
    for record in records {
        stats.by_status[usize::from(record.status.code())] += 1;
    }
    let ran = records.iter().filter(|record| has_run(record));
    let mut durations: Vec<Duration> = ran.map(|record| record.duration).collect();
    durations.sort_unstable();
    let rank = |per_mille: usize| (durations.len() * per_mille).div_ceil(1_000).max(1) - 1;
    let percentile = |per_mille| durations.get(rank(per_mille)).copied().unwrap_or_default();
    let count = u32::try_from(durations.len()).unwrap_or(u32::MAX).max(1);
    stats.average = durations.iter().sum::<Duration>() / count;
    stats.p50 = percentile(500);
    stats.p95 = percentile(950);
    stats.p99 = percentile(990);
    stats.max = durations.last().copied().unwrap_or_default();
    stats.last_error = last_error_of(records);
    stats
}

fn last_error_of(records: &[&ExecutionRecord]) -> Option<String> {
    let is_error =
        |record: &&&ExecutionRecord| record.failure.is_some() && record.status != Status::Skipped;
    let went_wrong = records.iter().filter(is_error);
    let last = went_wrong.max_by_key(|record| record.ended_at())?;
    let failure = last.failure.as_deref();
    failure.map(|it| format!("{}: {}", it.error_type, it.message))
}

impl History for MemoryStore {
    fn executions(
        &self,
        filter: Filter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredExecution>> {
        const READING: &str = "reading executions";
        self.read(READING, move |tables| {
            let fits = |row: &Row| {
                tables.is_in(&filter.scope, row) && filter.matches(row.session, &row.record)
            };
            let rows = tables.rows.iter().enumerate().filter(|(_, row)| fits(row));
            let placed = rows.map(|(number, row)| {
                let place = (row.record.ended_at().as_micros(), number as i64);
                let mut stored = stored(row);
                stored.record.lines = None;
                (place, stored)
            });
            page_of(READING, placed.collect(), &page)
        })
    }

    fn execution(&self, id: ExecutionId) -> HistoryFuture<'_, Option<StoredExecution>> {
        self.read("reading an execution", move |tables| {
            let place = tables.by_execution.get(&id);
            Ok(place.map(|place| stored(&tables.rows[*place])))
        })
    }

    fn find(&self, text: String, limit: u32) -> HistoryFuture<'_, Vec<StoredExecution>> {
        self.read("finding an execution", move |tables| {
            let ids = || tables.rows.iter().map(|row| row.record.started_at);
            let (Some(from), Some(to)) = (ids().min(), ids().max()) else {
                return Ok(Vec::new());
            };
            let Some(ranges) = IdRanges::of(&text, from, to) else {
                return Ok(Vec::new());
            };
            let fits = |row: &&Row| ranges.contains(row.record.execution_id);
            let mut found: Vec<_> = tables.rows.iter().filter(fits).map(stored).collect();
            found.sort_by_key(|it| std::cmp::Reverse(it.record.execution_id));
            found.truncate(limit as usize);
            for found in &mut found {
                found.record.lines = None;
            }
            Ok(found)
        })
    }

    fn schedules(&self, job: RegistrationId) -> HistoryFuture<'_, Vec<InForce>> {
        self.read("reading schedules", move |tables| {
            let plans = tables.schedules.plans.iter().rev();
            let its = plans.filter(|it| it.job == job);
            Ok(its.map(|it| it.in_force.clone()).take(1_000).collect())
        })
    }

    fn count(&self, window: Window) -> HistoryFuture<'_, u64> {
        self.read("counting executions", move |tables| {
            Ok(tables.within(&window).count() as u64)
        })
    }

    fn summaries(&self, window: Window) -> HistoryFuture<'_, Vec<Summary>> {
        self.read("summarising executions", move |tables| {
            let mut of_each: BTreeMap<&Entity, Vec<&ExecutionRecord>> = BTreeMap::new();
            for record in tables.within(&window) {
                of_each
                    .entry(&record.subject.entity)
                    .or_default()
                    .push(record);
            }
            let summaries = of_each.into_iter().map(|(entity, records)| Summary {
                entity: entity.clone(),
                stats: stats_of(&records),
            });
            Ok(summaries.collect())
        })
    }

    fn overall(&self, window: Window) -> HistoryFuture<'_, Stats> {
        self.read("summarising executions", move |tables| {
            let records: Vec<_> = tables.within(&window).collect();
            Ok(stats_of(&records))
        })
    }

    fn series(&self, scope: Scope, bounds: Vec<Timestamp>) -> HistoryFuture<'_, Vec<Stats>> {
        const SUMMARIZING: &str = "summarising periods";
        self.read(SUMMARIZING, move |tables| {
            if !bounds.is_sorted_by(|one, next| one < next) || bounds.len() > 1_001 {
                let class = HistoryErrorClass::Invalid;
                return Err(HistoryError::new(
                    class,
                    SUMMARIZING,
                    "these are not valid periods",
                ));
            }
            let of_period = |bounds: &[Timestamp]| {
                let rows = tables.rows.iter().filter(|row| {
                    let ended_at = row.record.ended_at();
                    tables.is_in(&scope, row) && (bounds[0]..bounds[1]).contains(&ended_at)
                });
                stats_of(&rows.map(|row| &row.record).collect::<Vec<_>>())
            };
            Ok(bounds.windows(2).map(of_period).collect())
        })
    }

    fn sessions(&self, page: PageRequest) -> HistoryFuture<'_, PageOf<StoredSession>> {
        const READING: &str = "reading sessions";
        let page = latest_first(page);
        self.read(READING, move |tables| {
            let rows = tables.sessions.values();
            let placed = rows.map(|row| ((0, row.number), row.stored.clone()));
            page_of(READING, placed.collect(), &page)
        })
    }

    fn gaps(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<Gap>> {
        const READING: &str = "reading gaps";
        let page = latest_first(page);
        self.read(READING, move |tables| {
            let is_in = |gap: &Gap| {
                window.session.is_none_or(|session| session == gap.session)
                    && window.from.is_none_or(|from| gap.last_at >= from)
                    && window.to.is_none_or(|to| gap.first_at < to)
            };
            let gaps = tables.gaps.iter().enumerate().filter(|(_, gap)| is_in(gap));
            let placed = gaps.map(|(number, gap)| ((0, number as i64), gap.clone()));
            page_of(READING, placed.collect(), &page)
        })
    }

    fn evidence(&self, window: Window, progress: Progress) -> HistoryFuture<'_, Evidence> {
        self.read("reading what an audit looks at", move |tables| {
            progress.tell(tables.rows.len() as u64, tables.rows.len() as u64);
            Ok(tables.evidence(&window))
        })
    }

    fn prunes(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<StoredPrune>> {
        const READING: &str = "reading prunes";
        let page = latest_first(page);
        self.read(READING, move |tables| {
            let is_in = |prune: &StoredPrune| {
                window
                    .session
                    .is_none_or(|session| prune.session == Some(session))
                    && window.from.is_none_or(|from| prune.last_at >= from)
                    && window.to.is_none_or(|to| prune.first_at < to)
            };
            let prunes = tables.prunes.iter().enumerate();
            let prunes = prunes.filter(|(_, prune)| is_in(prune));
            let placed = prunes.map(|(number, prune)| ((0, number as i64), prune.clone()));
            page_of(READING, placed.collect(), &page)
        })
    }

    fn missed_runs(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<MissedRuns>> {
        const READING: &str = "reading missed runs";
        let page = latest_first(page);
        self.read(READING, move |tables| {
            let is_in = |missed: &MissedRuns| {
                window
                    .session
                    .is_none_or(|session| missed.session == Some(session))
                    && window.from.is_none_or(|from| missed.last_due >= from)
                    && window.to.is_none_or(|to| missed.first_due < to)
            };
            let missed = tables.schedules.missed.iter().enumerate();
            let missed = missed.filter(|(_, missed)| is_in(missed));
            let placed = missed.map(|(number, missed)| ((0, number as i64), missed.clone()));
            page_of(READING, placed.collect(), &page)
        })
    }

    fn pauses(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<Pause>> {
        const READING: &str = "reading pauses";
        let page = latest_first(page);
        self.read(READING, move |tables| {
            let end_of = |pause: &Pause| {
                let row = tables.sessions.get(&pause.session);
                pause.until.or(row.and_then(|row| row.stored.stopped_at))
            };
            let is_in = |pause: &Pause| {
                window
                    .session
                    .is_none_or(|session| pause.session == session)
                    && window.to.is_none_or(|to| pause.from < to)
                    && window
                        .from
                        .is_none_or(|from| end_of(pause).is_none_or(|end| end >= from))
            };
            let pauses = tables.schedules.pauses.iter().enumerate();
            let pauses = pauses.filter(|(_, pause)| is_in(pause));
            let placed = pauses.map(|(number, pause)| ((0, number as i64), pause.clone()));
            page_of(READING, placed.collect(), &page)
        })
    }

    fn actions(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<RecordedAction>> {
        self.read_actions(&window, page)
    }

    fn sources(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<SourceCounts>> {
        const READING: &str = "reading sources of events";
        let page = latest_first(page);
        self.read(READING, move |tables| {
            page_of(READING, tables.sources_in(&window), &page)
        })
    }

    fn registrations(
        &self,
        filter: RegistrationFilter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredRegistration>> {
        const READING: &str = "reading registrations";
        let page = latest_first(page);
        self.read(READING, move |tables| {
            let rows = tables.registrations.values();
            let rows = rows.filter(|it| is_meant(&filter, it));
            let placed = rows.map(|it| ((0, it.id.row.get()), it.clone()));
            page_of(READING, placed.collect(), &page)
        })
    }
}

fn is_meant(filter: &RegistrationFilter, it: &StoredRegistration) -> bool {
    let app_key = &it.registration.entity.app_key;
    it.id.kind == filter.kind
        && filter
            .app_key
            .as_ref()
            .is_none_or(|wanted| wanted == app_key)
        && (filter.state == RegistrationState::Any || it.retired_at.or(it.removed_at).is_none())
}

/// Returns whether a time lies before the end of a window's last hour.
fn is_before_the_end(at: Timestamp, window: &Window) -> bool {
    window.to.is_none_or(|to| {
        let last = Timestamp::from_micros(to.as_micros().saturating_sub(1));
        at < hour_of(last).saturating_add(HOUR)
    })
}

const HOUR: Duration = Duration::from_secs(3_600);

impl Tables {
    fn evidence(&self, window: &Window) -> Evidence {
        let hours = self.hours_in(window);
        let lived = |it: &&SessionRow| {
            hours
                .iter()
                .any(|hour| hour.session == it.stored.session.id)
                || may_have_lived_in(&it.stored, window)
        };
        let mut sessions: Vec<&SessionRow> = self.sessions.values().filter(lived).collect();
        sessions.sort_by_key(|row| row.number);
        let gaps = self.gaps.iter().filter(|gap| {
            window.from.is_none_or(|from| gap.last_at >= from)
                && window.to.is_none_or(|to| gap.first_at < to)
        });
        Evidence {
            gaps: gaps.cloned().collect(),
            sessions: sessions.iter().map(|row| row.stored.clone()).collect(),
            rollups: rolled_up(&hours),
            hours,
        }
    }

    /// Returns the hours that are partly in a window, in the order of their sessions.
    fn hours_in(&self, window: &Window) -> Vec<SessionHour> {
        let is_in = |hour: Timestamp| {
            let ends_after_it_begins = window
                .from
                .is_none_or(|from| hour.saturating_add(HOUR) > from);
            ends_after_it_begins && window.to.is_none_or(|to| hour < to)
        };
        let in_window = self
            .hours
            .iter()
            .filter(|((_, hour_at), _)| is_in(*hour_at));
        let hours = in_window.map(|((session, hour_at), (stored, pruned))| SessionHour {
            session: *session,
            hour_at: *hour_at,
            stored: *stored,
            pruned: *pruned,
            rows: self.rows_of(*session, *hour_at),
        });
        let mut hours: Vec<SessionHour> = hours.collect();
        let number = |id: SessionId| self.sessions.get(&id).map(|row| row.number);
        hours.sort_by_key(|hour| (number(hour.session), hour.hour_at));
        hours
    }

    fn rows_of(&self, session: SessionId, hour_at: Timestamp) -> u64 {
        let is_its =
            |row: &&Row| row.session == session && hour_of(row.record.ended_at()) == hour_at;
        self.rows.iter().filter(is_its).count() as u64
    }
}

/// There are no rollups in memory, so they agree.
fn rolled_up(hours: &[SessionHour]) -> Vec<RolledUpHour> {
    let mut counts: BTreeMap<Timestamp, u64> = BTreeMap::new();
    for hour in hours {
        *counts.entry(hour.hour_at).or_default() += hour.stored;
    }
    let rollups = counts.into_iter();
    let rollups = rollups.map(|(hour_at, count)| RolledUpHour { hour_at, count });
    rollups.collect()
}

/// Returns whether a session without hours in a window began before its end and, as far as is known, ended after it
/// began.
fn may_have_lived_in(stored: &StoredSession, window: &Window) -> bool {
    let last = stored.heartbeat_at;
    is_before_the_end(stored.session.started_at, window)
        && (!stored.counts.is_final || window.from.is_none_or(|from| last >= hour_of(from)))
}

pub(super) fn latest_first(page: PageRequest) -> PageRequest {
    PageRequest {
        order: Order::LatestFirst,
        ..page
    }
}
