//! Checks conditions without an index, slice by slice, for a short while.

use std::time::{Duration, Instant};

use executor_core::Timestamp;
use executor_core::lines::Lines;
use executor_core::ports::says;

use crate::read::paging::{Cursor, Place};
use crate::read::question::QueryError;

/// The number of rows that a search checks between two readings of the clock.
pub(crate) const SLICE: u32 = 2_000;

/// The time that one page may spend on conditions without an index.
pub(crate) const SEARCH_FOR: Duration = Duration::from_millis(200);

/// The places of a page's rows.
pub(crate) struct PagePlaces<P> {
    pub(crate) places: Vec<P>,
    /// After which place the next page begins.
    pub(crate) next: Option<P>,
    pub(crate) searched_to: Option<Timestamp>,
}

impl<P: Place> PagePlaces<P> {
    pub(crate) fn of(places: Vec<P>, limit: u32) -> Self {
        let last = places.last().copied();
        Self {
            next: last.filter(|_| places.len() == limit as usize),
            places,
            searched_to: None,
        }
    }
}

/// What is searched.
pub(crate) trait Searched {
    type Place: Place;

    /// Returns the next rows that fulfil the conditions that an index serves.
    fn candidates(
        &mut self,
        cursor: Cursor<Self::Place>,
        limit: u32,
    ) -> Result<Vec<Self::Place>, QueryError>;

    /// Returns those of them that fulfil the others, in their order.
    fn hits(&mut self, candidates: &[Self::Place]) -> Result<Vec<Self::Place>, QueryError>;

    /// Returns when the execution at a place ended, if that can be read.
    fn ended_at(&mut self, place: Self::Place) -> Result<Option<Timestamp>, QueryError>;
}

/// Finds a page, or as much of it as can be found until then.
pub(crate) fn search<S: Searched>(
    searched: &mut S,
    mut cursor: Cursor<S::Place>,
    limit: u32,
    until: Instant,
) -> Result<PagePlaces<S::Place>, QueryError> {
    let mut found = Vec::new();
    loop {
        let candidates = searched.candidates(cursor, SLICE)?;
        let missing = limit as usize - found.len();
        let mut hits = searched.hits(&candidates)?;
        let is_full = hits.len() >= missing;
        hits.truncate(missing);
        found.extend(hits);
        let last = candidates.last().copied();
        let has_more = candidates.len() == SLICE as usize;
        let (next, searched_to) = if is_full {
            (found.last().copied(), None)
        } else if let Some(last) = last.filter(|_| has_more) {
            cursor.after = Some(last);
            if Instant::now() < until {
                continue;
            }
            (Some(last), searched.ended_at(last)?)
        } else {
            (None, None)
        };
        return Ok(PagePlaces {
            places: found,
            next,
            searched_to,
        });
    }
}

/// Returns whether a text is that of a line: times and targets are in the body too.
pub(crate) fn is_said(text: Option<&str>, body: Option<&str>) -> bool {
    match (text, body) {
        (Some(text), Some(body)) => says(&Lines::from_parts(0, 0, 0, false, body), text),
        (wanted, _) => wanted.is_none(),
    }
}
