//! Pages of rows in the order of their ids, and the tokens that say where one begins.

use executor_core::ports::{Order, PageOf, PageRequest, PageToken};

use crate::sqlite::read::question::{LeftOut, QueryError};

/// The version of the tokens, their first character.
const VERSION: char = '1';

/// The position after which a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) order: Order,
    /// `None` for the first page.
    pub(crate) after: Option<i64>,
}

impl Cursor {
    pub(crate) fn of(page: &PageRequest) -> Result<Self, QueryError> {
        let order = page.order;
        let Some(token) = &page.after else {
            return Ok(Self { order, after: None });
        };
        let after = id_of(token, order);
        let after = after.ok_or_else(|| QueryError::Token(token.clone()))?;
        Ok(Self {
            order,
            after: Some(after),
        })
    }

    /// Returns whether a row is on this page or a later one.
    pub(crate) fn is_before(self, id: i64) -> bool {
        self.after.is_none_or(|after| match self.order {
            Order::LatestFirst => id < after,
            Order::OldestFirst => id > after,
        })
    }

    /// Returns the id below which a page begins, for lists that exist only with the latest first.
    pub(crate) fn latest_first(page: &PageRequest) -> Result<i64, QueryError> {
        let page = PageRequest {
            order: Order::LatestFirst,
            ..page.clone()
        };
        Ok(Self::of(&page)?.after.unwrap_or(i64::MAX))
    }

    pub(crate) fn token(order: Order, id: i64) -> PageToken {
        PageToken::from(format!("{VERSION}{}{id}", letter_of(order)))
    }
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

fn id_of(token: &PageToken, order: Order) -> Option<i64> {
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
    let begins_at = Cursor::latest_first(page)?;
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
