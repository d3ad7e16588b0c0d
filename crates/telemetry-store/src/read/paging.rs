//! Pages of rows in the order of their places, and the tokens that say where one begins.

use std::fmt::Display;
use std::str::FromStr;

use executor_core::ports::{Order, PageOf, PageRequest, PageToken};

use crate::read::question::{LeftOut, QueryError};

/// The version of the tokens, their first character.
const VERSION: char = '1';

/// Where rows are in the order of their table: a number, or a key.
pub(crate) trait Place: Copy + Ord + Display + FromStr {}

impl<P: Copy + Ord + Display + FromStr> Place for P {}

/// The position after which a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor<P = i64> {
    pub(crate) order: Order,
    /// `None` for the first page.
    pub(crate) after: Option<P>,
}

impl<P: Place> Cursor<P> {
    pub(crate) fn of(page: &PageRequest) -> Result<Self, QueryError> {
        let order = page.order;
        let Some(token) = &page.after else {
            return Ok(Self { order, after: None });
        };
        let after = place_of(token, order);
        let after = after.ok_or_else(|| QueryError::Token(token.clone()))?;
        Ok(Self {
            order,
            after: Some(after),
        })
    }

    /// Returns whether a row is on this page or a later one.
    pub(crate) fn is_before(self, place: P) -> bool {
        self.after.is_none_or(|after| match self.order {
            Order::LatestFirst => place < after,
            Order::OldestFirst => place > after,
        })
    }

    pub(crate) fn token(order: Order, place: P) -> PageToken {
        PageToken::from(format!("{VERSION}{}{place}", letter_of(order)))
    }

    /// Puts what was found in the order of the page, and cuts it to its length.
    pub(crate) fn in_order(self, mut found: Vec<P>, limit: u32) -> Vec<P> {
        // A damaged table may give the same rows again and again; pages come to an end all the same.
        found.retain(|place| self.is_before(*place));
        match self.order {
            Order::LatestFirst => found.sort_unstable_by(|one, other| other.cmp(one)),
            Order::OldestFirst => found.sort_unstable(),
        }
        found.truncate(limit as usize);
        found
    }
}

/// Returns the id below which a page begins, for lists that exist only with the latest first.
pub(crate) fn latest_first(page: &PageRequest) -> Result<i64, QueryError> {
    let page = PageRequest {
        order: Order::LatestFirst,
        ..page.clone()
    };
    Ok(Cursor::of(&page)?.after.unwrap_or(i64::MAX))
}

const fn letter_of(order: Order) -> char {
    match order {
        Order::LatestFirst => 'l',
        Order::OldestFirst => 'o',
    }
}

/// As SQL says it.
pub(crate) const fn direction(order: Order) -> &'static str {
    match order {
        Order::LatestFirst => "DESC",
        Order::OldestFirst => "ASC",
    }
}

fn place_of<P: Place>(token: &PageToken, order: Order) -> Option<P> {
    let rest = token.as_str().strip_prefix(VERSION)?;
    rest.strip_prefix(letter_of(order))?.parse().ok()
}

/// A page of rows that are in the order of their ids, the greatest first, without those that are damaged.
pub(crate) fn page_of<R, T>(
    rows: Vec<R>,
    page: &PageRequest,
    left_out: &LeftOut,
    id: impl Fn(&R) -> i64,
    mut item: impl FnMut(R) -> Result<T, QueryError>,
) -> Result<PageOf<T>, QueryError> {
    let is_full = rows.len() == page.limit as usize;
    let last = rows.last().filter(|_| is_full).map(id);
    // A damaged table may give the same rows again and again; pages come to an end all the same.
    let begins_at = latest_first(page)?;
    let last = last.filter(|last| *last < begins_at);
    let items = rows.into_iter();
    let items = items.filter_map(|row| left_out.readable(item(row)).transpose());
    Ok(PageOf {
        items: items.collect::<Result<_, _>>()?,
        next: last.map(|id| Cursor::token(Order::LatestFirst, id)),
        searched_to: None,
    })
}

#[cfg(test)]
mod tests;
