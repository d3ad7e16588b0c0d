//! Rows on their way from one backend to another.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// A row: numbers, texts, and bytes in hexadecimal digits, in the order of its table's columns.
pub(crate) type Row = Vec<Value>;

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

    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut digest = Self::default();
        rows.iter().for_each(|row| digest.add(row));
        digest
    }
}

/// The digests of executions by the number of their session.
pub(crate) type BySession = BTreeMap<i64, Digest>;

#[cfg(test)]
mod tests;
