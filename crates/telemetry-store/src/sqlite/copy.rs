//! A database in a file as one end of a copy.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use serde_json::json;

use crate::copy::row::Row;
use crate::copy::side::{Answer, Claim, Residue, SideError, Sink, Source, Span};
use crate::copy::table::{TABLES, Table};
use crate::liveness::FILE_MODE;
use crate::rollup::tally::SPANS_US;
use crate::sqlite::copy::mark::{claim, unclaim};
use crate::sqlite::copy::statements::{
    DIALECT, EXECUTIONS, NEXT_ROLLUP, ROLLUPS, insert_rollups, replace, write,
};
use crate::sqlite::open::address::{Target, Unaddressable};
use crate::sqlite::open::error::OpenError;
use crate::sqlite::open::pragma::Patience;
use crate::sqlite::open::{connect, open_reader, up_for_a_copy};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::rollup::{Entities, LINES, Line, SLICE, rolled_up_to};

mod mark;

mod statements;

type Opened<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A database in a file.
pub(crate) struct FileEnd {
    connection: SqliteConnection,
}

#[derive(QueryableByName)]
struct Read {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

impl FileEnd {
    /// Opens a history for reading, as it is now.
    pub(crate) fn source(url: &str) -> Opened<Self> {
        let (mut connection, _) = open_reader(&Target::parse(url)?)?;
        // Begins with the first question.
        connection.batch_execute("BEGIN")?;
        Ok(Self { connection })
    }

    /// Opens a database to copy into, and makes it if there is none.
    pub(crate) fn sink(url: &str) -> Opened<Self> {
        let target = Target::parse(url)?;
        if target.path().is_none() {
            let why = "a copy in memory would be gone at once; give a path";
            let url = url.to_owned();
            return Err(OpenError::Address(Unaddressable { url, why }).into());
        }
        let mut connection = connect(&target, Patience::Opening, FILE_MODE)?;
        up_for_a_copy(&mut connection)?;
        // Rows refer to each other across pages; it is checked at the end that all are there.
        connection.batch_execute(
            "PRAGMA foreign_keys = OFF; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536",
        )?;
        Ok(Self { connection })
    }

    fn read(&mut self, what: &str, question: &str, bound: &[&str]) -> Answer<Vec<Row>> {
        let mut query = diesel::sql_query(question).into_boxed();
        for text in bound {
            query = query.bind::<Text, _>(*text);
        }
        let rows: QueryResult<Vec<Read>> = query.load(&mut self.connection);
        let rows = rows.map_err(SideError::of(format!("cannot read {what}")))?;
        let rows = rows.iter().map(|row| serde_json::from_str(&row.line));
        let rows: Result<_, _> = rows.collect();
        rows.map_err(SideError::of(format!("cannot understand {what}")))
    }
}

impl Source for FileEnd {
    fn history_id(&mut self) -> Answer<String> {
        let question = "SELECT lower(hex(history_id)) AS line FROM history";
        let name: QueryResult<Read> = diesel::sql_query(question).get_result(&mut self.connection);
        let name = name.map_err(SideError::of("cannot read the name of the history"))?;
        Ok(name.line)
    }

    fn rows(&mut self, table: &Table) -> Answer<Vec<Row>> {
        self.read(table.name, &DIALECT.select(table), &[])
    }

    fn executions(&mut self, span: Span<'_>, limit: i64) -> Answer<Vec<Row>> {
        let question = format!("{EXECUTIONS} LIMIT {limit}");
        self.read("executions", &question, &[span.after, span.up_to])
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
        self.read("rollups", &question, &[])
    }

    fn residue(&mut self) -> Answer<Residue> {
        residue(&mut self.connection).map_err(SideError::of("cannot read executions"))
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
        let slice: Vec<Line> = slice.load(connection)?;
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
        let claimed = immediate(&mut self.connection, |connection| {
            claim(connection, history)
        });
        claimed.map_err(SideError::of("cannot begin the copy"))
    }

    fn begin_tables(&mut self) -> Answer<()> {
        // No row is displaced by a mark that an earlier copy may have left.
        let mut begin = format!(
            "BEGIN IMMEDIATE; UPDATE rollup_progress SET rolled_up_to = {};",
            i64::MIN
        );
        for table in TABLES.iter().rev() {
            if !keeps_ids(table) {
                begin += &format!("DELETE FROM {};", table.name);
            }
        }
        let begun = self.connection.batch_execute(&begin);
        begun.map_err(SideError::of("cannot begin the copy"))
    }

    fn fill(&mut self, table: &Table, rows: &[Row]) -> Answer<()> {
        let failed = SideError::of(format!("cannot write {}", table.name));
        let connection = &mut self.connection;
        let is_kept = keeps_ids(table);
        let gone = if is_kept {
            gone(connection, table, rows)
        } else {
            Ok(())
        };
        let verb = if is_kept {
            "INSERT OR REPLACE"
        } else {
            "INSERT"
        };
        let statement = format!("{verb} {}", DIALECT.insert(table));
        gone.and_then(|()| write(connection, &statement, rows))
            .map_err(failed)
    }

    fn end_tables(&mut self) -> Answer<()> {
        let ended = self.connection.batch_execute("COMMIT");
        ended.map_err(SideError::of("cannot write sessions"))
    }

    fn replace(&mut self, span: Span<'_>, rows: &[Row]) -> Answer<()> {
        let replaced = immediate(&mut self.connection, |connection| {
            replace(connection, span, rows)
        });
        replaced.map_err(SideError::of("cannot write executions"))
    }

    fn clear_rollups(&mut self) -> Answer<()> {
        let clear = "DELETE FROM rollups; DELETE FROM rollup_entities";
        let cleared = self.connection.batch_execute(clear);
        cleared.map_err(SideError::of("cannot write rollups"))
    }

    fn add_rollups(&mut self, rows: &[Row]) -> Answer<()> {
        let added = immediate(&mut self.connection, |connection| {
            insert_rollups(connection, rows)
        });
        added.map_err(SideError::of("cannot write rollups"))
    }

    fn finish(&mut self) -> Answer<()> {
        let finished = immediate(&mut self.connection, unclaim);
        finished.map_err(SideError::of("cannot end the copy"))?;
        // What the next program would have to read through.
        let truncated = self
            .connection
            .batch_execute("PRAGMA wal_checkpoint(TRUNCATE)");
        truncated.map_err(SideError::of("cannot end the copy"))
    }
}

/// Executions have the ids of these rows, and a trigger takes them away when a row goes.
fn keeps_ids(table: &Table) -> bool {
    matches!(table.name, "listeners" | "scheduled_jobs")
}

/// Deletes the registrations that are not among these.
fn gone(connection: &mut SqliteConnection, table: &Table, rows: &[Row]) -> QueryResult<()> {
    let key = match table.name {
        "listeners" => ["app_key, instance, name, topic", "value ->> 3"],
        _ => ["app_key, instance, name", ""],
    };
    let [columns, topic] = key;
    let values = ["value ->> 0", "value ->> 1", "value ->> 2", topic];
    let values: Vec<&str> = values.into_iter().filter(|it| !it.is_empty()).collect();
    let statement = format!(
        "DELETE FROM {} WHERE ({columns}) NOT IN (SELECT {} FROM jsonb_each(?1))",
        table.name,
        values.join(", ")
    );
    let query = diesel::sql_query(statement).bind::<Text, _>(json!(rows).to_string());
    query.execute(connection).map(drop)
}
