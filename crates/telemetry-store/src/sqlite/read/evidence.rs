//! Reads the evidence of an audit in one transaction: the counts of sessions and hours, the rows, and the rollups.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Evidence, PageRequest, Progress, RolledUpHour, SessionHour, Window};
use executor_core::{SessionId, Timestamp};

use crate::periods::{HOUR_US, hour_of};
use crate::sqlite::read::question::{Asked, LeftOut, QueryError, known_count};
use crate::sqlite::read::sessions;
use crate::sqlite::read::stored::uuid_of;
use crate::sqlite::schema::{self, session_hours};
use crate::sqlite::write::rollup::rolled_up_to;
use crate::sqlite::write::row_ids::displacement;

/// The number of rows to count between two reports of the progress.
const ROWS_AT_ONCE: i64 = 100_000;

/// The number of episodes of loss to read at a time.
const GAPS_AT_ONCE: u32 = 1_000;

pub(crate) fn evidence(
    asked: &mut Asked<'_>,
    window: &Window,
    progress: &Progress,
) -> Result<Evidence, QueryError> {
    let hours = whole_hours(window);
    asked.transaction(|asked| {
        let connection = &mut *asked.connection;
        let stored = stored(connection, &hours)?;
        let expected = stored.iter().fold(0_i64, |sum, hour| {
            sum.saturating_add(hour.stored.saturating_sub(hour.pruned))
        });
        let counted = Counted::read(connection, &hours, |done| {
            progress.tell(done.unsigned_abs(), expected.max(done).unsigned_abs());
        })?;
        let with_rows = counted.rows.keys().map(|(session, _)| *session);
        let with_rows: BTreeSet<i64> = with_rows.collect();
        let with_rows = with_rows.into_iter().collect();
        Ok(Evidence {
            sessions: sessions::alive_in(connection, &hours, with_rows)?,
            rollups: rolled_up(connection, &hours, &counted)?,
            hours: hours_of(connection, stored, counted)?,
            gaps: gaps(asked, window)?,
        })
    })
}

fn whole_hours(window: &Window) -> Range<i64> {
    let from = window.from.map_or(i64::MIN, Timestamp::as_micros);
    let to = window.to.map_or(i64::MAX, Timestamp::as_micros);
    let last = hour_of(to.saturating_sub(1)).saturating_add(HOUR_US);
    hour_of(from)..if to == i64::MAX { i64::MAX } else { last }
}

/// What was counted in one session and hour.
#[derive(Queryable, Clone, Copy)]
struct HourRow {
    session: i64,
    hour: i64,
    stored: i64,
    pruned: i64,
}

fn stored(connection: &mut SqliteConnection, hours: &Range<i64>) -> QueryResult<Vec<HourRow>> {
    session_hours::table
        .filter(session_hours::hour_us.ge(hours.start))
        .filter(session_hours::hour_us.lt(hours.end))
        .order((session_hours::session_id, session_hours::hour_us))
        .load(connection)
}

/// The rows that are there, by session and hour, and those of each hour that are not rolled up yet.
#[derive(Default)]
struct Counted {
    rows: BTreeMap<(i64, i64), i64>,
    beyond_the_mark: BTreeMap<i64, i64>,
}

#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = BigInt)]
    session: i64,
    #[diesel(sql_type = BigInt)]
    hour: i64,
    #[diesel(sql_type = Bool)]
    is_beyond: bool,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

impl Counted {
    fn read(
        connection: &mut SqliteConnection,
        hours: &Range<i64>,
        told: impl Fn(i64),
    ) -> Result<Self, QueryError> {
        let mark = rolled_up_to(connection)?;
        // No id lies below the end of its execution, and none further above it than this.
        let last = hours.end.saturating_add(displacement(connection)?);
        let (mut from, mut done) = (hours.start.saturating_sub(1), 0);
        let mut counted = Self::default();
        loop {
            let groups = slice(connection, from..last, mark)?;
            let Some(end) = groups.iter().filter_map(|group| group.last).max() else {
                return Ok(counted);
            };
            from = end;
            for group in groups {
                done += group.count;
                counted.add(&group, hours);
            }
            told(done);
        }
    }

    fn add(&mut self, group: &Group, hours: &Range<i64>) {
        if !hours.contains(&group.hour) {
            return;
        }
        let place = (group.session, group.hour);
        *self.rows.entry(place).or_default() += group.count;
        if group.is_beyond {
            *self.beyond_the_mark.entry(group.hour).or_default() += group.count;
        }
    }
}

fn slice(connection: &mut SqliteConnection, ids: Range<i64>, mark: i64) -> QueryResult<Vec<Group>> {
    diesel::sql_query(format!(
        "SELECT session_id AS session, ended - ((ended % {HOUR_US}) + {HOUR_US}) % {HOUR_US} AS hour, \
         id > ?3 AS is_beyond, count(*) AS count, max(id) AS last FROM \
         (SELECT id, session_id, start_us + duration_us AS ended FROM executions \
          WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT {ROWS_AT_ONCE}) GROUP BY 1, 2, 3"
    ))
    .bind::<BigInt, _>(ids.start)
    .bind::<BigInt, _>(ids.end)
    .bind::<BigInt, _>(mark)
    .load(connection)
}

#[derive(QueryableByName)]
struct RollupHour {
    #[diesel(sql_type = BigInt)]
    hour: i64,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn rolled_up(
    connection: &mut SqliteConnection,
    hours: &Range<i64>,
    counted: &Counted,
) -> Result<Vec<RolledUpHour>, QueryError> {
    let rows: Vec<RollupHour> = diesel::sql_query(format!(
        "SELECT start_us AS hour, sum(success + error + timed_out + cancelled + panicked + skipped + interrupted) \
         AS count FROM rollups WHERE span_us = {HOUR_US} AND start_us >= ?1 AND start_us < ?2 GROUP BY start_us"
    ))
    .bind::<BigInt, _>(hours.start)
    .bind::<BigInt, _>(hours.end)
    .load(connection)?;
    let mut counts = counted.beyond_the_mark.clone();
    for row in rows {
        let rolled_up = known_count("rollups", row.hour, "count", row.count)?;
        *counts.entry(row.hour).or_default() += rolled_up as i64;
    }
    let told = counts.into_iter().map(|(hour, count)| RolledUpHour {
        hour_at: Timestamp::from_micros(hour),
        count: count.unsigned_abs(),
    });
    Ok(told.collect())
}

/// Puts together what was counted and what is there; either may know of hours that the other does not.
fn hours_of(
    connection: &mut SqliteConnection,
    stored: Vec<HourRow>,
    counted: Counted,
) -> Result<Vec<SessionHour>, QueryError> {
    let mut hours: BTreeMap<(i64, i64), (HourRow, i64)> = BTreeMap::new();
    for row in stored {
        hours.insert((row.session, row.hour), (row, 0));
    }
    for ((session, hour), rows) in counted.rows {
        let nothing = HourRow {
            session,
            hour,
            stored: 0,
            pruned: 0,
        };
        hours.entry((session, hour)).or_insert((nothing, 0)).1 = rows;
    }
    let mut names: BTreeMap<i64, SessionId> = BTreeMap::new();
    let mut found = Vec::with_capacity(hours.len());
    for (row, rows) in hours.into_values() {
        let session = match names.get(&row.session) {
            Some(session) => *session,
            None => name_of(connection, row.session)?,
        };
        names.insert(row.session, session);
        let of_hour = |what, count| known_count("session_hours", row.session, what, count);
        found.push(SessionHour {
            session,
            hour_at: Timestamp::from_micros(row.hour),
            stored: of_hour("stored", row.stored)?,
            pruned: of_hour("pruned", row.pruned)?,
            rows: rows.unsigned_abs(),
        });
    }
    Ok(found)
}

fn name_of(connection: &mut SqliteConnection, session: i64) -> Result<SessionId, QueryError> {
    let name: Vec<u8> = schema::sessions::table
        .find(session)
        .select(schema::sessions::session_uuid)
        .first(connection)?;
    let name = uuid_of(&name, "a session's uuid is malformed")?;
    Ok(SessionId::from_uuid(name))
}

/// All of them: without one that cannot be read nobody could tell whether the rest is complete.
fn gaps(
    asked: &mut Asked<'_>,
    window: &Window,
) -> Result<Vec<executor_core::ports::Gap>, QueryError> {
    let window = Window {
        session: None,
        ..window.clone()
    };
    let left_out = LeftOut::default();
    let mut asked = asked.noting_in(&left_out);
    let mut page = PageRequest::first(GAPS_AT_ONCE);
    let mut all = Vec::new();
    loop {
        let found = sessions::gaps_in(&mut asked, &window, &page)?;
        all.extend(found.items);
        let Some(next) = found.next else { break };
        page = page.following(next);
    }
    if let Some(damage) = left_out.all().pop() {
        return Err(QueryError::Damaged(damage));
    }
    all.reverse();
    Ok(all)
}
