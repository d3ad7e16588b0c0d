//! A database in a file as one end of a copy.

use std::collections::HashSet;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use crate::copy::mark::Mark;
use crate::copy::row::{Row, in_pages, row_of};
use crate::copy::side::{Answer, Claim, Residue, SideError, Sink, Source, Span};
use crate::copy::table::{TABLES, Table};
use crate::liveness::FILE_MODE;
use crate::rollup::tally::SPANS_US;
use crate::sqlite::copy::mark::{assert_own, claim, unclaim};
use crate::sqlite::copy::statements::{
    DIALECT, EXECUTIONS, NEXT_ROLLUP, ROLLUPS, delete, delete_others, insert, insert_rollups,
    of_span, write,
};
use crate::sqlite::open::address::{SUFFIXES, Target, Unaddressable, beside};
use crate::sqlite::open::error::OpenError;
use crate::sqlite::open::file_identity::{FileIdentity, FileState};
use crate::sqlite::open::pragma::Patience;
use crate::sqlite::open::{connect, open_reader, up_for_a_copy};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::rollup::{self, Entities, LINES, SLICE, rolled_up_to};

mod mark;

mod statements;

type Opened<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A database in a file.
pub(crate) struct FileEnd {
    connection: SqliteConnection,
    /// The attempt to copy into it.
    mark: Option<Mark>,
    /// The file that is copied into.
    identity: Option<FileIdentity>,
    /// The registrations that the source has, as far as they are written.
    registrations: Vec<(&'static str, Row)>,
    /// The file as it was, where SQLite does not watch it: nobody wrote to it when it was opened.
    unwatched: Option<Seen>,
}

/// A file, as far as writing to it shows.
struct Seen {
    path: PathBuf,
    state: Option<(u64, SystemTime)>,
}

impl Seen {
    fn state_of(path: &Path) -> Option<(u64, SystemTime)> {
        let file = path.metadata().ok()?;
        Some((file.len(), file.modified().ok()?))
    }

    fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            state: Self::state_of(path),
        }
    }

    fn is_unchanged(&self) -> bool {
        Self::state_of(&self.path) == self.state && !beside(&self.path, "-wal").exists()
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

impl FileEnd {
    fn new(connection: SqliteConnection) -> Self {
        Self {
            connection,
            mark: None,
            identity: None,
            registrations: Vec::new(),
            unwatched: None,
        }
    }

    /// Opens a history for reading, as it is now.
    pub(crate) fn source(url: &str) -> Opened<Self> {
        let target = Target::parse(url)?;
        let seen = target.path().map(Seen::of);
        let (mut connection, follows) = open_reader(&target)?;
        // Begins with the first question.
        connection.batch_execute("BEGIN")?;
        let mut end = Self::new(connection);
        end.unwatched = seen.filter(|_| !follows);
        Ok(end)
    }

    /// Opens a database to copy into, and makes it if there is none. `None` if there is a history of an earlier version.
    pub(crate) fn sink(url: &str) -> Opened<Option<Self>> {
        let target = Target::parse(url)?;
        if let Some(why) = unfit(target.path()) {
            let url = url.to_owned();
            return Err(OpenError::Address(Unaddressable { url, why }).into());
        }
        let mut connection = connect(&target, Patience::Opening, FILE_MODE)?;
        if !up_for_a_copy(&mut connection)? {
            return Ok(None);
        }
        // Rows refer to each other across pages; it is checked at the end that all are there.
        connection.batch_execute(
            "PRAGMA foreign_keys = OFF; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536",
        )?;
        let mut end = Self::new(connection);
        end.identity = Some(FileIdentity::new(target.path()));
        Ok(Some(end))
    }

    /// Does it in a transaction, if no other copy has taken over.
    fn writing(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<()>,
    ) -> Answer<()> {
        let mark = self.mark.as_ref();
        let done = immediate(&mut self.connection, |connection| {
            assert_own(connection, mark)?;
            work(connection)
        });
        done.map_err(SideError::of(format!("cannot write {what}")))
    }

    fn read(&mut self, what: &str, question: &str) -> Answer<Vec<Row>> {
        let cannot = || format!("cannot read {what}");
        let lines = diesel::sql_query(question).load(&mut self.connection);
        let lines: Vec<Line> = lines.map_err(SideError::of(cannot()))?;
        let rows = lines.iter().map(|line| row_of(&line.line));
        let rows: QueryResult<_> = rows.collect();
        rows.map_err(SideError::of(cannot()))
    }
}

/// Why nothing is to be copied to a path.
fn unfit(path: Option<&Path>) -> Option<&'static str> {
    let Some(path) = path else {
        return Some("a copy in memory would be gone at once; give a path");
    };
    let name = path.to_string_lossy();
    let is_beside = SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    is_beside.then_some("SQLite deletes files with such names; give another path")
}

impl Source for FileEnd {
    fn history_id(&mut self) -> Answer<String> {
        let question = "SELECT lower(hex(history_id)) AS line FROM history";
        let name: QueryResult<Line> = diesel::sql_query(question).get_result(&mut self.connection);
        let name = name.map_err(SideError::of("cannot read the name of the history"))?;
        Ok(name.line)
    }

    fn rows(&mut self, table: &Table, each: &mut dyn FnMut(Vec<Row>) -> bool) -> Answer<()> {
        let cannot = || format!("cannot read {}", table.name);
        let question = diesel::sql_query(DIALECT.select(table));
        let lines = question.load_iter::<Line, DefaultLoadingMode>(&mut self.connection);
        let lines = lines.map_err(SideError::of(cannot()))?;
        in_pages(lines.map(|line| row_of(&line?.line)), each).map_err(SideError::of(cannot()))
    }

    fn executions(&mut self, span: Span<'_>, limit: i64) -> Answer<Vec<Row>> {
        let question = format!(
            "{EXECUTIONS} WHERE {} ORDER BY e.execution_id LIMIT {limit}",
            of_span(span)
        );
        self.read("executions", &question)
    }

    fn next_rollup(&mut self, span: i64, from: i64) -> Answer<Option<i64>> {
        let next = diesel::sql_query(NEXT_ROLLUP);
        let next = next.bind::<BigInt, _>(span).bind::<BigInt, _>(from);
        let next: QueryResult<Number> = next.get_result(&mut self.connection);
        let next = next.map_err(SideError::of("cannot read rollups"))?;
        Ok(next.number)
    }

    fn rollups(&mut self, span: i64, from: i64, to: i64) -> Answer<Vec<Row>> {
        // Numbers can go into the SQL as they are.
        let question = format!(
            "{ROLLUPS} WHERE t.span_us = {span} AND t.start_us >= {from} AND t.start_us < {to}"
        );
        self.read("rollups", &question)
    }

    fn residue(&mut self) -> Answer<Residue> {
        residue(&mut self.connection).map_err(SideError::of("cannot read executions"))
    }

    fn check(&mut self) -> Answer<()> {
        match &self.unwatched {
            Some(seen) if !seen.is_unchanged() => Err(SideError {
                what: "somebody has written to the file meanwhile, which this user may only read: copy as the user who \
                       records, and not the file"
                    .into(),
                source: None,
            }),
            _ => Ok(()),
        }
    }

    fn knows_detached(&self) -> bool {
        true
    }

    fn holds_nul(&self) -> bool {
        true
    }
}

/// Counts the rows beyond the mark of the rollups.
fn residue(connection: &mut SqliteConnection) -> QueryResult<Residue> {
    let (mut residue, mut entities) = (Residue::new(), Entities::default());
    let mut from = rolled_up_to(connection)?;
    loop {
        let question = format!("{LINES} WHERE e.id > ?1 ORDER BY e.id LIMIT {SLICE}");
        let slice = diesel::sql_query(question).bind::<BigInt, _>(from);
        let slice: Vec<rollup::Line> = slice.load(connection)?;
        let Some(last) = slice.last() else {
            return Ok(residue);
        };
        from = last.id;
        for line in &slice {
            let Some(run) = line.run() else { continue };
            let key = entities.key_of(connection, line)?;
            for span in SPANS_US {
                let start = run.ended_us.div_euclid(span) * span;
                let tallies = residue.entry((span, start)).or_default();
                tallies.entry(key.clone()).or_default().add(&run);
            }
        }
    }
}

impl Sink for FileEnd {
    fn claim(&mut self, history: &str) -> Answer<Claim> {
        let mark = Mark::new(history);
        let claimed = immediate(&mut self.connection, |connection| claim(connection, &mark));
        let claimed = claimed.map_err(SideError::of("cannot begin the copy"))?;
        self.mark = Some(mark);
        Ok(claimed)
    }

    fn begin_tables(&mut self) -> Answer<HashSet<String>> {
        let begun = self.connection.batch_execute("BEGIN IMMEDIATE");
        begun.map_err(SideError::of("cannot begin the copy"))?;
        let question = "SELECT lower(hex(session_uuid)) AS line FROM sessions";
        let names = diesel::sql_query(question).load(&mut self.connection);
        let names: Vec<Line> = names.map_err(SideError::of("cannot read sessions"))?;
        Ok(names.into_iter().map(|it| it.line).collect())
    }

    fn clear_tables(&mut self) -> Answer<()> {
        // No row is displaced by a mark that an earlier copy may have left.
        let mark = format!("UPDATE rollup_progress SET rolled_up_to = {};", i64::MIN);
        let tables = TABLES.iter().rev().filter(|table| !keeps_ids(table.name));
        let tables = tables.map(|table| format!("DELETE FROM {};", table.name));
        let cleared = self
            .connection
            .batch_execute(&tables.fold(mark, |all, one| all + &one));
        cleared.map_err(SideError::of("cannot begin the copy"))
    }

    fn fill(&mut self, table: &Table, rows: &[Row]) -> Answer<()> {
        let mut verb = "INSERT";
        if keeps_ids(table.name) {
            verb = "INSERT OR REPLACE";
            let rows = rows.iter().map(|row| (table.name, row.clone()));
            self.registrations.extend(rows);
        }
        let statement = format!("{verb} {}", DIALECT.insert(table));
        let written = write(&mut self.connection, &statement, rows);
        written.map_err(SideError::of(format!("cannot write {}", table.name)))
    }

    fn end_tables(&mut self) -> Answer<()> {
        let all = mem::take(&mut self.registrations);
        let connection = &mut self.connection;
        let ended = KEEP_IDS.into_iter().try_for_each(|table| {
            let of_table = all.iter().filter(|(of, _)| *of == table);
            let rows: Vec<&Row> = of_table.map(|(_, row)| row).collect();
            delete_others(connection, table, &rows)
        });
        let ended = ended
            .and_then(|()| assert_own(connection, self.mark.as_ref()))
            .and_then(|()| connection.batch_execute("COMMIT"));
        ended.map_err(SideError::of("cannot write sessions"))
    }

    fn write(&mut self, rows: &[Row]) -> Answer<()> {
        self.writing("executions", |connection| insert(connection, rows))
    }

    fn replace(&mut self, span: Span<'_>, rows: &[Row]) -> Answer<()> {
        self.writing("executions", |connection| {
            delete(connection, span)?;
            insert(connection, rows)
        })
    }

    fn clear_rollups(&mut self) -> Answer<()> {
        self.writing("rollups", |connection| {
            connection.batch_execute("DELETE FROM rollups; DELETE FROM rollup_entities")
        })
    }

    fn add_rollups(&mut self, rows: &[Row]) -> Answer<()> {
        self.writing("rollups", |connection| insert_rollups(connection, rows))
    }

    fn finish(&mut self) -> Answer<()> {
        let is_there = self.identity.as_ref().map(FileIdentity::file_state);
        if is_there == Some(FileState::Replaced) {
            return Err(SideError {
                what: "somebody has removed or replaced the file".into(),
                source: None,
            });
        }
        // Whoever is told that the copy is whole may delete the source.
        let synced = self.connection.batch_execute("PRAGMA synchronous = FULL");
        synced.map_err(SideError::of("cannot end the copy"))?;
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        let finished = immediate(&mut self.connection, |connection| unclaim(connection, mark));
        finished.map_err(SideError::of("cannot end the copy"))?;
        // What the next program would have to read through. The copy is whole without.
        let _ = self
            .connection
            .batch_execute("PRAGMA wal_checkpoint(TRUNCATE)");
        Ok(())
    }
}

const KEEP_IDS: [&str; 2] = ["listeners", "scheduled_jobs"];

/// Executions have the ids of these rows, and a trigger takes them away when a row goes.
fn keeps_ids(table: &str) -> bool {
    KEEP_IDS.contains(&table)
}
