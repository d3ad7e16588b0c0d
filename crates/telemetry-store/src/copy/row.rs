//! Rows on their way from one backend to another.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use diesel::QueryResult;
use serde_json::Value;

/// A row: numbers, texts, and bytes in hexadecimal digits, in the order of its table's columns.
pub(crate) type Row = Vec<Value>;

/// A row from what a backend made of it.
pub(crate) fn row_of(line: &str) -> QueryResult<Row> {
    serde_json::from_str(line)
        .map_err(|error| diesel::result::Error::DeserializationError(error.into()))
}

/// Gives rows some at a time, until `each` wants no more.
pub(crate) fn in_pages(
    rows: impl Iterator<Item = QueryResult<Row>>,
    each: &mut dyn FnMut(Vec<Row>) -> bool,
) -> QueryResult<()> {
    const AT_ONCE: usize = 1_000;
    let mut page = Vec::new();
    for row in rows {
        page.push(row?);
        if page.len() == AT_ONCE && !each(std::mem::take(&mut page)) {
            return Ok(());
        }
    }
    each(page);
    Ok(())
}

/// The number in a column; `None` if it is empty.
pub(crate) fn number(row: &Row, at: usize) -> Option<i64> {
    row.get(at).and_then(Value::as_i64)
}

/// The text in a column, empty if the column is.
pub(crate) fn text(row: &Row, at: usize) -> &str {
    row.get(at).and_then(Value::as_str).unwrap_or_default()
}

/// Makes a row one that every backend can hold: PostgreSQL has no NUL.
pub(crate) fn without_nul(row: &mut Row) {
    for value in row {
        if let Value::String(text) = value
            && text.contains('\0')
        {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
}

/// The number of some rows and their checksum, whatever order they were read in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) rows: u64,
    sum: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, row: &[Value]) {
        let mut hasher = DefaultHasher::new();
        for value in row {
            match value {
                Value::String(text) => (1_u8, text).hash(&mut hasher),
                Value::Number(number) => (2_u8, number.as_i64()).hash(&mut hasher),
                other => (3_u8, other.as_bool()).hash(&mut hasher),
            }
        }
        self.rows += 1;
        // A sum and not an exclusive or: two equal rows are not none.
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// The digests of executions by the number of their session.
pub(crate) type BySession = BTreeMap<i64, Digest>;

#[cfg(test)]
mod tests;
