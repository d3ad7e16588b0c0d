//! The copy itself: tables first, then executions in the order of their ids, then rollups; and everything is read
//! again from where it was written.
//!
//! What an interrupted copy has written is compared page by page, and written again where it differs. So it does not
//! matter what has happened to the source since.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::copy::error::{CopyError, CopyProgress, CopyStage};
use crate::copy::rollups::{self, Merged};
use crate::copy::row::{BySession, Digest, Row, number, text, without_nul};
use crate::copy::side::{Answer, Claim, Sink, Source, Span, execution};
use crate::copy::table::{TABLES, Table};

/// The most executions that are read and written at a time.
const PAGE_MAX: i64 = 1_000;

/// How many bytes of text they should have together.
const PAGE_BYTES: usize = 4 << 20;

/// How many executions to read next, after a page with so many bytes.
fn next_page(rows: &[Row]) -> i64 {
    let bytes: usize = rows
        .iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::len)
        .sum();
    let fitting = PAGE_BYTES * rows.len() / bytes.max(1);
    i64::try_from(fitting)
        .unwrap_or(PAGE_MAX)
        .clamp(1, PAGE_MAX)
}

/// The first page, of which nothing is known.
const PAGE_FIRST: i64 = 100;

/// What was copied, and is there.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) is_resumed: bool,
    /// How many executions an interrupted copy had left as they should be.
    pub(crate) were_there: u64,
    pub(crate) with_lines: u64,
    /// The names of sessions, by their numbers.
    pub(crate) names: BTreeMap<i64, String>,
    pub(crate) executions: BySession,
    pub(crate) tables: Vec<(&'static str, Digest)>,
    pub(crate) rollups: Digest,
}

/// A copy under way.
pub(crate) struct Copying<'c> {
    pub(crate) from: &'c mut dyn Source,
    pub(crate) to: &'c mut dyn Sink,
    pub(crate) progress: &'c mut dyn FnMut(CopyProgress),
}

impl Copying<'_> {
    pub(crate) fn run(mut self) -> Result<Report, CopyError> {
        let history = self.from.history_id().map_err(CopyError::from)?;
        if history == self.to.history_id().map_err(CopyError::to)? {
            return Err(CopyError::Same);
        }
        let claim = self.to.claim(&history).map_err(CopyError::to)?;
        match claim {
            Claim::Empty | Claim::Resumed => {}
            Claim::Taken => return Err(CopyError::Taken),
            Claim::OfAnother => return Err(CopyError::OfAnother),
        }
        let mut report = Report {
            is_resumed: claim == Claim::Resumed,
            ..Report::default()
        };
        let total = self.tables(&mut report)?;
        self.executions(&mut report, total)?;
        self.rollups(&mut report)?;
        self.from.check().map_err(CopyError::from)?;
        self.verify(&report)?;
        self.to.finish().map_err(CopyError::to)?;
        Ok(report)
    }

    /// Returns how many executions there should be.
    fn tables(&mut self, report: &mut Report) -> Result<u64, CopyError> {
        let mut total = 0;
        let there = self.to.begin_tables().map_err(CopyError::to)?;
        self.refuse_strangers(there)?;
        self.to.clear_tables().map_err(CopyError::to)?;
        for table in &TABLES {
            let (to, names) = (&mut *self.to, &mut report.names);
            let (mut digest, mut failed) = (Digest::default(), None);
            let mut write = |mut rows: Vec<Row>| {
                clean(to, &mut rows);
                rows.iter().for_each(|row| digest.add(row));
                match table.name {
                    "sessions" => names.extend(names_of(table, &rows)),
                    "session_hours" => total += kept(table, &rows),
                    _ => {}
                }
                failed = to.fill(table, &rows).err();
                failed.is_none()
            };
            let read = self.from.rows(table, &mut write);
            if let Some(failed) = failed {
                return Err(CopyError::to(failed));
            }
            read.map_err(CopyError::from)?;
            report.tables.push((table.name, digest));
        }
        self.to.end_tables().map_err(CopyError::to)?;
        Ok(total)
    }

    /// Refuses a target with sessions that are none of the source's: a program that opened it before it was marked may
    /// record there, and its records would be deleted.
    fn refuse_strangers(&mut self, mut there: HashSet<String>) -> Result<(), CopyError> {
        let [sessions, ..] = &TABLES;
        let mut forget = |rows: Vec<Row>| {
            for name in names_of(sessions, &rows).into_values() {
                there.remove(&name);
            }
            !there.is_empty()
        };
        let read = self.from.rows(sessions, &mut forget);
        read.map_err(CopyError::from)?;
        match there.is_empty() {
            true => Ok(()),
            false => Err(CopyError::Strangers),
        }
    }

    fn executions(&mut self, report: &mut Report, total: u64) -> Result<(), CopyError> {
        let (mut after, mut done, mut limit) = (String::new(), 0, PAGE_FIRST);
        loop {
            let rest = Span {
                after: &after,
                up_to: "",
            };
            let rows = self.from.executions(rest, limit);
            let mut rows = rows.map_err(CopyError::from)?;
            let Some(last) = rows.last() else {
                // What the source has no more behind its last one.
                return self.write(rest, &[], report);
            };
            let last = text(last, execution::ID).to_owned();
            limit = next_page(&rows);
            clean(self.to, &mut rows);
            let page = Span {
                after: &after,
                up_to: &last,
            };
            self.write(page, &rows, report)?;
            count(&rows, self.verified(), &mut report.executions);
            report.with_lines += with_lines(&rows);
            done += rows.len() as u64;
            (self.progress)(CopyProgress {
                stage: CopyStage::Copying,
                done,
                total: total.max(done),
            });
            after = last;
        }
    }

    /// Writes a page, unless it is there as it should be.
    fn write(
        &mut self,
        span: Span<'_>,
        rows: &[Row],
        report: &mut Report,
    ) -> Result<(), CopyError> {
        if report.is_resumed && self.is_there(span, rows).map_err(CopyError::to)? {
            report.were_there += rows.len() as u64;
            return Ok(());
        }
        let written = match report.is_resumed {
            true => self.to.replace(span, rows),
            false => self.to.write(rows),
        };
        written.map_err(CopyError::to)
    }

    fn is_there(&mut self, span: Span<'_>, rows: &[Row]) -> Answer<bool> {
        let there = self.to.executions(span, rows.len() as i64 + 1)?;
        let digest = |rows: &[Row]| {
            let mut digests = BySession::new();
            count(rows, self.verified(), &mut digests);
            digests
        };
        Ok(digest(&there) == digest(rows))
    }

    /// How many columns of an execution must be the same.
    fn verified(&self) -> usize {
        match self.to.knows_detached() {
            true => execution::DETACHED + 1,
            false => execution::DETACHED,
        }
    }

    fn rollups(&mut self, report: &mut Report) -> Result<(), CopyError> {
        self.to.clear_rollups().map_err(CopyError::to)?;
        let residue = self.from.residue().map_err(CopyError::from)?;
        let mut merged = Merged::new(residue);
        while let Some(mut rows) = merged.next(self.from).map_err(CopyError::from)? {
            clean(self.to, &mut rows);
            self.to.add_rollups(&rows).map_err(CopyError::to)?;
            rows.iter().for_each(|row| report.rollups.add(row));
        }
        Ok(())
    }

    /// Reads all of it again from where it was written.
    fn verify(&mut self, report: &Report) -> Result<(), CopyError> {
        for (table, (name, digest)) in TABLES.iter().zip(&report.tables) {
            let mut there = Digest::default();
            let mut read = |rows: Vec<Row>| {
                rows.iter().for_each(|row| there.add(row));
                true
            };
            self.to.rows(table, &mut read).map_err(CopyError::to)?;
            same(&there, digest, || (*name).to_owned())?;
        }
        let executions = self.executions_there(report)?;
        for (session, name) in &report.names {
            let (there, wanted) = (executions.get(session), report.executions.get(session));
            let none = Digest::default();
            same(there.unwrap_or(&none), wanted.unwrap_or(&none), || {
                format!("executions of the session {name}")
            })?;
        }
        same(&executions, &report.executions, || {
            "executions of no session".to_owned()
        })?;
        let rollups = rollups::digest(&mut *self.to).map_err(CopyError::to)?;
        same(&rollups, &report.rollups, || "rollups".to_owned())
    }

    fn executions_there(&mut self, report: &Report) -> Result<BySession, CopyError> {
        let total = report.executions.values().map(|it| it.rows).sum();
        let (mut after, mut done, mut digests) = (String::new(), 0, BySession::new());
        let mut limit = PAGE_FIRST;
        loop {
            let rest = Span {
                after: &after,
                up_to: "",
            };
            let rows = self.to.executions(rest, limit).map_err(CopyError::to)?;
            limit = next_page(&rows);
            let Some(last) = rows.last() else {
                return Ok(digests);
            };
            let last = text(last, execution::ID).to_owned();
            count(&rows, self.verified(), &mut digests);
            done += rows.len() as u64;
            (self.progress)(CopyProgress {
                stage: CopyStage::Verifying,
                done,
                total: done.max(total),
            });
            after = last;
        }
    }
}

/// Makes rows such that the target can hold them.
fn clean(to: &dyn Sink, rows: &mut [Row]) {
    if !to.holds_nul() {
        rows.iter_mut().for_each(without_nul);
    }
}

fn same<T: PartialEq>(
    there: &T,
    wanted: &T,
    what: impl FnOnce() -> String,
) -> Result<(), CopyError> {
    match there == wanted {
        true => Ok(()),
        false => Err(CopyError::Differs { what: what() }),
    }
}

fn count(rows: &[Row], columns: usize, digests: &mut BySession) {
    for row in rows {
        let session = number(row, execution::SESSION).unwrap_or_default();
        digests.entry(session).or_default().add(&row[..columns]);
    }
}

fn with_lines(rows: &[Row]) -> u64 {
    let with = rows
        .iter()
        .filter(|row| number(row, execution::LINES).is_some());
    with.count() as u64
}

/// The names of sessions by their numbers.
fn names_of(table: &Table, rows: &[Row]) -> BTreeMap<i64, String> {
    let (Some(id), Some(name)) = (table.place_of("id"), table.place_of("session_uuid")) else {
        return BTreeMap::new();
    };
    let named = rows
        .iter()
        .map(|row| (number(row, id), text(row, name).to_lowercase()));
    named.filter_map(|(id, name)| Some((id?, name))).collect()
}

/// How many executions the counts of hours promise.
fn kept(table: &Table, rows: &[Row]) -> u64 {
    let (Some(stored), Some(pruned)) = (table.place_of("stored"), table.place_of("pruned")) else {
        return 0;
    };
    let counts = rows.iter();
    let counts = counts.map(|row| Some(number(row, stored)? - number(row, pruned)?));
    counts.flatten().map(|it| it.max(0).unsigned_abs()).sum()
}
