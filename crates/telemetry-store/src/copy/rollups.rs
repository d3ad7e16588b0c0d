//! Rollups on their way: those of the same hour or day and the same listener or job become one, with what the source
//! has not rolled up yet.

use std::collections::BTreeMap;
use std::mem;

use serde_json::{Value, json};

use crate::copy::row::{Digest, Row, number, text};
use crate::copy::side::{Answer, Residue, SideError, Source, rollup};
use crate::rollup::entity::EntityKey;
use crate::rollup::sketch::NotASketch;
use crate::rollup::tally::{SPANS_US, Tally};

/// How many spans are read at a time.
const AT_ONCE: i64 = 24;

/// Where in the rollups a reader is.
struct Cursor {
    spans: std::slice::Iter<'static, i64>,
    span: Option<i64>,
    from: i64,
}

impl Cursor {
    fn new() -> Self {
        let mut spans = SPANS_US.iter();
        Self {
            span: spans.next().copied(),
            spans,
            from: i64::MIN,
        }
    }

    /// The next run of starts with rollups, if `next` finds the first of a span.
    fn next(
        &mut self,
        mut next: impl FnMut(i64, i64) -> Answer<Option<i64>>,
    ) -> Answer<Option<(i64, i64, i64)>> {
        while let Some(span) = self.span {
            let start = next(span, self.from)?;
            let end = start.map(|start| start.saturating_add(AT_ONCE * span));
            // A start at the end of time is damage, and would be found for ever.
            if let (Some(start), Some(end)) = (start, end)
                && start < end
            {
                self.from = end;
                return Ok(Some((span, start, end)));
            }
            (self.span, self.from) = (self.spans.next().copied(), i64::MIN);
        }
        Ok(None)
    }
}

/// The rollups of a source, one of each hour or day and listener or job.
pub(super) struct Merged {
    cursor: Cursor,
    residue: Residue,
}

impl Merged {
    pub(super) fn new(residue: Residue) -> Self {
        Self {
            cursor: Cursor::new(),
            residue,
        }
    }

    /// The next ones; `None` behind the last.
    pub(super) fn next(&mut self, source: &mut dyn Source) -> Answer<Option<Vec<Row>>> {
        let residue = &self.residue;
        let run = self.cursor.next(|span, from| {
            let stored = source.next_rollup(span, from)?;
            let left = residue.range((span, from)..=(span, i64::MAX)).next();
            let left = left.map(|((_, start), _)| *start);
            Ok([stored, left].into_iter().flatten().min())
        })?;
        let Some((span, from, to)) = run else {
            return Ok(None);
        };
        let mut slots: BTreeMap<(i64, EntityKey), Vec<Row>> = BTreeMap::new();
        for row in source.rollups(span, from, to)? {
            let start = number(&row, rollup::START).unwrap_or_default();
            slots.entry((start, key_of(&row))).or_default().push(row);
        }
        let mut left = self.left(span, from, to);
        let mut rows = Vec::with_capacity(slots.len());
        for ((start, key), stored) in slots {
            let more = left.remove(&(start, key.clone()));
            rows.push(one((span, start), &key, stored, more)?);
        }
        let new = left.into_iter();
        rows.extend(new.map(|((start, key), tally)| row_of((span, start), &key, &tally)));
        Ok(Some(rows))
    }

    /// Takes what is not rolled up yet out of a run of starts.
    fn left(&mut self, span: i64, from: i64, to: i64) -> BTreeMap<(i64, EntityKey), Tally> {
        let starts = self.residue.range_mut((span, from)..(span, to));
        let tallies = starts.flat_map(|((_, start), tallies)| {
            let tallies = mem::take(tallies).into_iter();
            tallies.map(|(key, tally)| ((*start, key), tally))
        });
        tallies.collect()
    }
}

/// Makes one rollup of several. One alone stays as it is, even if it cannot be understood.
fn one(
    place: (i64, i64),
    key: &EntityKey,
    mut stored: Vec<Row>,
    more: Option<Tally>,
) -> Answer<Row> {
    if let (None, [row]) = (&more, stored.as_mut_slice()) {
        return Ok(mem::take(row));
    }
    let mut total = more.unwrap_or_default();
    for row in &stored {
        let tally = tally_of(row).map_err(|NotASketch| SideError {
            what: format!(
                "the rollup of {}/{} at {} has a sketch that cannot be read",
                key.app_key, key.name, place.1
            ),
            source: None,
        })?;
        total.merge(&tally);
    }
    Ok(row_of(place, key, &total))
}

fn key_of(row: &Row) -> EntityKey {
    EntityKey {
        kind: number(row, rollup::KEY).unwrap_or_default(),
        app_key: text(row, rollup::KEY + 1).to_owned(),
        instance: number(row, rollup::KEY + 2).unwrap_or_default(),
        name: text(row, rollup::KEY + 3).to_owned(),
        topic: text(row, rollup::KEY + 4).to_owned(),
    }
}

fn tally_of(row: &Row) -> Result<Tally, NotASketch> {
    let mut tally = Tally::default();
    let count = |at: usize| number(row, rollup::COUNTS + at).unwrap_or_default();
    let statuses = tally.by_status.iter_mut().enumerate();
    statuses.for_each(|(at, status)| *status = count(at));
    tally.sum_us = count(tally.by_status.len());
    tally.max_us = count(tally.by_status.len() + 1);
    let sketch = bytes_of(text(row, rollup::SKETCH)).ok_or(NotASketch)?;
    tally.sketch.merge_encoded(&sketch)?;
    if let Some(at) = number(row, rollup::LAST_ERROR_AT) {
        tally.last_error = Some((at, text(row, rollup::LAST_ERROR).to_owned()));
    }
    Ok(tally)
}

fn row_of((span, start): (i64, i64), key: &EntityKey, tally: &Tally) -> Row {
    let mut row = vec![
        json!(span),
        json!(start),
        json!(key.kind),
        json!(key.app_key),
        json!(key.instance),
        json!(key.name),
        json!(key.topic),
    ];
    row.extend(tally.by_status.map(|count| json!(count)));
    row.extend([json!(tally.sum_us), json!(tally.max_us)]);
    match &tally.last_error {
        Some((at, text)) => row.extend([json!(at), json!(text)]),
        None => row.extend([Value::Null, Value::Null]),
    }
    row.push(json!(digits_of(&tally.sketch.encode())));
    row
}

fn digits_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2);
    let bytes = pairs.map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    bytes.collect()
}

/// The digest of all rollups as they are.
pub(super) fn digest<S: Source + ?Sized>(source: &mut S) -> Answer<Digest> {
    let (mut cursor, mut digest) = (Cursor::new(), Digest::default());
    while let Some((span, from, to)) = cursor.next(|span, from| source.next_rollup(span, from))? {
        let rows = source.rollups(span, from, to)?;
        rows.iter().for_each(|row| digest.add(row));
    }
    Ok(digest)
}
