//! A database on a server as one end of a copy.

use std::collections::HashSet;

use diesel::connection::SimpleConnection;
use diesel::pg::{PgConnection, PgRowByRowLoadingMode};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::copy::mark::Mark;
use crate::copy::row::{Row, in_pages, number, row_of};
use crate::copy::side::{Answer, Claim, Residue, SideError, Sink, Source, Span, execution};
use crate::copy::table::{TABLES, Table};
use crate::postgres::address::Address;
use crate::postgres::connect::connect_reader;
use crate::postgres::copy::mark::{assert_own, claim, unclaim};
use crate::postgres::copy::statements::{
    DIALECT, NEXT_ROLLUP, ROLLUPS, add_rollups, delete, entities_of, executions, insert, write,
};
use crate::postgres::migrations::schema;
use crate::postgres::open::Open;
use crate::postgres::read::history::refused;
use crate::postgres::transaction::Connected;
use crate::postgres::write::days;

mod mark;

mod statements;

type Opened<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A database on a server, by a connection for reading or for writing.
pub(crate) struct ServerEnd<C> {
    open: C,
    /// The attempt to copy into it.
    mark: Option<Mark>,
}

/// A connection for reading.
pub(crate) struct Reader(PgConnection);

impl Connected for Reader {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
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

impl ServerEnd<Reader> {
    /// Opens a history for reading, as it is now.
    pub(crate) fn source(url: &str) -> Opened<Self> {
        // The other side may be slow. Emptying and dropping a day passes snapshots by, so days are kept from that, and
        // before the snapshot is taken.
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
            SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL jit = off; SET LOCAL lock_timeout = '10s'; \
            LOCK TABLE executor.executions, executor.execution_lines IN ACCESS SHARE MODE";
        let address = Address::parse(url)?;
        let mut connection = connect_reader(&address)?;
        if let Some(refused) = refused(&address, schema(&mut connection)?) {
            return Err(refused.into());
        }
        connection.batch_execute(BEGIN)?;
        Ok(Self {
            open: Reader(connection),
            mark: None,
        })
    }
}

impl ServerEnd<Open> {
    /// Opens a database to copy into, and makes the tables if there are none. `None` if there is a history of an earlier
    /// version.
    pub(crate) fn sink(url: &str) -> Opened<Option<Self>> {
        let open = Open::for_a_copy(&Address::parse(url)?)?;
        Ok(open.map(|open| Self { open, mark: None }))
    }

    /// Does it in a transaction that may take its time, if no other copy has taken over: that waits for at most one page.
    fn writing(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Open) -> QueryResult<()>,
    ) -> Answer<()> {
        let mark = self.mark.as_ref();
        let done = at_leisure(&mut self.open, |open| {
            assert_own(open.connection(), mark)?;
            work(open)
        });
        done.map_err(SideError::of(format!("cannot write {what}")))
    }
}

impl<C: Connected> ServerEnd<C> {
    fn read(&mut self, what: &str, question: &str) -> Answer<Vec<Row>> {
        let cannot = || format!("cannot read {what}");
        let lines = diesel::sql_query(question).load(self.open.connection());
        let lines: Vec<Line> = lines.map_err(SideError::of(cannot()))?;
        let rows = lines.iter().map(|line| row_of(&line.line));
        let rows: QueryResult<_> = rows.collect();
        rows.map_err(SideError::of(cannot()))
    }
}

impl<C: Connected> Source for ServerEnd<C> {
    fn history_id(&mut self) -> Answer<String> {
        let question = "SELECT encode(uuid_send(history_id), 'hex') AS line FROM executor.history";
        let name = diesel::sql_query(question).get_result(self.open.connection());
        let name: Line = name.map_err(SideError::of("cannot read the name of the history"))?;
        Ok(name.line)
    }

    fn rows(&mut self, table: &Table, each: &mut dyn FnMut(Vec<Row>) -> bool) -> Answer<()> {
        let cannot = || format!("cannot read {}", table.name);
        let question = diesel::sql_query(DIALECT.select(table));
        let lines = question.load_iter::<Line, PgRowByRowLoadingMode>(self.open.connection());
        let lines = lines.map_err(SideError::of(cannot()))?;
        in_pages(lines.map(|line| row_of(&line?.line)), each).map_err(SideError::of(cannot()))
    }

    fn executions(&mut self, span: Span<'_>, limit: i64) -> Answer<Vec<Row>> {
        self.read("executions", &executions(span, limit))
    }

    fn next_rollup(&mut self, span: i64, from: i64) -> Answer<Option<i64>> {
        let next = diesel::sql_query(NEXT_ROLLUP);
        let next = next.bind::<BigInt, _>(span).bind::<BigInt, _>(from);
        let next = next.get_result(self.open.connection());
        let next: Number = next.map_err(SideError::of("cannot read rollups"))?;
        Ok(next.number)
    }

    fn rollups(&mut self, span: i64, from: i64, to: i64) -> Answer<Vec<Row>> {
        let question = format!(
            "{ROLLUPS} WHERE t.span_us = {span} AND t.start_us >= {from} AND t.start_us < {to}"
        );
        self.read("rollups", &question)
    }

    /// Each batch is rolled up by the transaction that stores it.
    fn residue(&mut self) -> Answer<Residue> {
        Ok(Residue::new())
    }

    fn check(&mut self) -> Answer<()> {
        Ok(())
    }

    fn knows_detached(&self) -> bool {
        false
    }

    fn holds_nul(&self) -> bool {
        false
    }
}

/// Runs `work` in a transaction that may take its time.
fn at_leisure<T>(
    open: &mut Open,
    work: impl FnOnce(&mut Open) -> QueryResult<T>,
) -> QueryResult<T> {
    open.connection().batch_execute(BEGIN)?;
    let done = work(open);
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = open.connection().batch_execute(end);
    done.and_then(|value| ended.map(|()| value))
}

/// What is acknowledged is on the disk, whatever the server usually does: the source may be deleted then.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s'; SET LOCAL jit = off; \
    SET LOCAL idle_in_transaction_session_timeout = 0; \
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

impl Sink for ServerEnd<Open> {
    fn claim(&mut self, history: &str) -> Answer<Claim> {
        let mark = Mark::new(history);
        let claimed = at_leisure(&mut self.open, |open| claim(open.connection(), &mark));
        let claimed = claimed.map_err(SideError::of("cannot begin the copy"))?;
        self.mark = Some(mark);
        Ok(claimed)
    }

    fn begin_tables(&mut self) -> Answer<HashSet<String>> {
        let begin = format!("{BEGIN}; LOCK TABLE executor.sessions IN SHARE ROW EXCLUSIVE MODE");
        let begun = self.open.connection().batch_execute(&begin);
        begun.map_err(SideError::of("cannot begin the copy"))?;
        let question =
            "SELECT encode(uuid_send(session_uuid), 'hex') AS line FROM executor.sessions";
        let names = diesel::sql_query(question).load(self.open.connection());
        let names: Vec<Line> = names.map_err(SideError::of("cannot read sessions"))?;
        Ok(names.into_iter().map(|it| it.line).collect())
    }

    fn clear_tables(&mut self) -> Answer<()> {
        let tables = TABLES.iter().rev();
        let clear = tables.map(|table| format!("DELETE FROM executor.{};", table.name));
        let cleared = self
            .open
            .connection()
            .batch_execute(&clear.collect::<String>());
        cleared.map_err(SideError::of("cannot begin the copy"))
    }

    fn fill(&mut self, table: &Table, rows: &[Row]) -> Answer<()> {
        let failed = SideError::of(format!("cannot write {}", table.name));
        let connection = self.open.connection();
        let entities = entities_of(table);
        let entities = entities.map_or(Ok(()), |statement| write(connection, &statement, rows));
        let statement = format!("INSERT {}", DIALECT.insert(table));
        entities
            .and_then(|()| write(connection, &statement, rows))
            .map_err(failed)
    }

    fn end_tables(&mut self) -> Answer<()> {
        let connection = self.open.connection();
        let ended = assert_own(connection, self.mark.as_ref()).and_then(|()| {
            connection.batch_execute(
                "SELECT setval(pg_get_serial_sequence('executor.sessions', 'id'), \
                   coalesce((SELECT max(id) FROM executor.sessions), 0) + 1, false); COMMIT",
            )
        });
        ended.map_err(SideError::of("cannot write sessions"))
    }

    fn write(&mut self, rows: &[Row]) -> Answer<()> {
        let ended: Vec<i64> = rows.iter().map(ended).collect();
        days::make(&mut self.open, ended.iter().copied());
        self.writing("executions", |open| {
            days::keep(open)?;
            insert(open.connection(), rows, &ended)
        })
    }

    fn replace(&mut self, span: Span<'_>, rows: &[Row]) -> Answer<()> {
        let ended: Vec<i64> = rows.iter().map(ended).collect();
        days::make(&mut self.open, ended.iter().copied());
        self.writing("executions", |open| {
            days::keep(open)?;
            delete(open.connection(), span)?;
            insert(open.connection(), rows, &ended)
        })
    }

    fn clear_rollups(&mut self) -> Answer<()> {
        self.writing("rollups", |open| {
            open.connection()
                .batch_execute("DELETE FROM executor.rollups")
        })
    }

    fn add_rollups(&mut self, rows: &[Row]) -> Answer<()> {
        self.writing("rollups", |open| add_rollups(open.connection(), rows))
    }

    fn finish(&mut self) -> Answer<()> {
        let Some(mark) = self.mark.take() else {
            return Ok(());
        };
        let finished = at_leisure(&mut self.open, |open| {
            // Else the first questions are planned for empty tables.
            open.connection().batch_execute(
                "ANALYZE executor.executions, executor.execution_lines, executor.rollups, executor.session_hours, \
                   executor.entities",
            )?;
            unclaim(open.connection(), &mark)
        });
        finished.map_err(SideError::of("cannot end the copy"))
    }
}

fn ended(row: &Row) -> i64 {
    let column = |at| number(row, at).unwrap_or_default();
    column(execution::START).saturating_add(column(execution::DURATION))
}
