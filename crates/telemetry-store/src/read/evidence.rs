//! Puts the evidence of an audit together: what was counted for sessions and hours, and what is there.

use std::collections::BTreeMap;
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use executor_core::ports::{Gap, PageOf, PageRequest, RolledUpHour, SessionHour, Window};
use executor_core::{SessionId, Timestamp};

use crate::periods::{HOUR_US, hour_of};
use crate::read::question::{LeftOut, QueryError, known_count};
use crate::read::window::bounds;

/// The number of episodes of loss to read at a time.
const GAPS_AT_ONCE: u32 = 1_000;

/// The hours that a window touches, from the beginning of the first to the end of the last.
pub(crate) fn whole_hours(window: &Window) -> Range<i64> {
    let (_, from, to) = bounds(window);
    let last = hour_of(to.saturating_sub(1)).saturating_add(HOUR_US);
    hour_of(from)..if to == i64::MAX { i64::MAX } else { last }
}

/// What was counted for a session in an hour.
#[derive(Clone, Copy, QueryableByName)]
pub(crate) struct HourRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) session: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) hour: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) stored: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) pruned: i64,
}

/// The number of rows that should be there.
pub(crate) fn expected(stored: &[HourRow]) -> i64 {
    stored.iter().fold(0, |sum: i64, hour| {
        sum.saturating_add(hour.stored.saturating_sub(hour.pruned))
    })
}

/// The rows that are there, by session and hour.
pub(crate) type Rows = BTreeMap<(i64, i64), i64>;

/// What the rollups of an hour say.
#[derive(QueryableByName)]
pub(crate) struct RollupHour {
    #[diesel(sql_type = BigInt)]
    hour: i64,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Adds the rows of each hour that are not rolled up yet to what the rollups say.
pub(crate) fn rolled_up(
    rollups: Vec<RollupHour>,
    not_rolled_up: BTreeMap<i64, i64>,
) -> Result<Vec<RolledUpHour>, QueryError> {
    let mut counts = not_rolled_up;
    for row in rollups {
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
pub(crate) fn hours_of(
    stored: Vec<HourRow>,
    rows: Rows,
    mut name_of: impl FnMut(i64) -> Result<SessionId, QueryError>,
) -> Result<Vec<SessionHour>, QueryError> {
    let mut hours: BTreeMap<(i64, i64), (HourRow, i64)> = BTreeMap::new();
    for row in stored {
        hours.insert((row.session, row.hour), (row, 0));
    }
    for ((session, hour), rows) in rows {
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
            None => name_of(row.session)?,
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

/// All episodes of loss, the oldest first: without one that cannot be read nobody could tell whether the rest is
/// complete.
pub(crate) fn all_gaps(
    window: &Window,
    mut read: impl FnMut(&Window, &PageRequest, &LeftOut) -> Result<PageOf<Gap>, QueryError>,
) -> Result<Vec<Gap>, QueryError> {
    let window = Window {
        session: None,
        ..window.clone()
    };
    let left_out = LeftOut::default();
    let mut page = PageRequest::first(GAPS_AT_ONCE);
    let mut all = Vec::new();
    loop {
        let found = read(&window, &page, &left_out)?;
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
