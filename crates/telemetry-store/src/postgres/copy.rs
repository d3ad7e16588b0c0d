//! A database on a server as one end of a copy.

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::copy::row::{Row, number};
use crate::copy::side::{Answer, Claim, Residue, SideError, Sink, Source, Span, execution};
use crate::copy::table::{TABLES, Table};
use crate::postgres::address::Address;
use crate::postgres::connect::connect_reader;
use crate::postgres::copy::mark::{claim, unclaim};
use crate::postgres::copy::statements::{
    DIALECT, NEXT_ROLLUP, ROLLUPS, add_rollups, entities_of, executions, replace, write,
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
}

/// A connection for reading.
pub(crate) struct Reader(PgConnection);

impl Connected for Reader {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }
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

impl ServerEnd<Reader> {
    /// Opens a history for reading, as it is now.
    pub(crate) fn source(url: &str) -> Opened<Self> {
        // The other side may be slow.
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
            SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL jit = off";
        let address = Address::parse(url)?;
        let mut connection = connect_reader(&address)?;
        if let Some(refused) = refused(&address, schema(&mut connection)?) {
            return Err(refused.into());
        }
        connection.batch_execute(BEGIN)?;
        Ok(Self {
            open: Reader(connection),
        })
    }
}

impl ServerEnd<Open> {
    /// Opens a database to copy into, and makes the tables if there are none.
    pub(crate) fn sink(url: &str) -> Opened<Self> {
        let open = Open::for_a_copy(&Address::parse(url)?)?;
        Ok(Self { open })
    }
}

impl<C: Connected> ServerEnd<C> {
    fn read(&mut self, what: &str, question: &str) -> Answer<Vec<Row>> {
        let rows = diesel::sql_query(question).load(self.open.connection());
        let rows: Vec<Read> = rows.map_err(SideError::of(format!("cannot read {what}")))?;
        let rows = rows.iter().map(|row| serde_json::from_str(&row.line));
        let rows: Result<_, _> = rows.collect();
        rows.map_err(SideError::of(format!("cannot understand {what}")))
    }
}

impl<C: Connected> Source for ServerEnd<C> {
    fn history_id(&mut self) -> Answer<String> {
        let question = "SELECT encode(uuid_send(history_id), 'hex') AS line FROM executor.history";
        let name = diesel::sql_query(question).get_result(self.open.connection());
        let name: Read = name.map_err(SideError::of("cannot read the name of the history"))?;
        Ok(name.line)
    }

    fn rows(&mut self, table: &Table) -> Answer<Vec<Row>> {
        let question = DIALECT.select(table);
        self.read(table.name, &question)
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

    fn knows_detached(&self) -> bool {
        false
    }

    fn holds_nul(&self) -> bool {
        false
    }
}

/// Runs `work` in a transaction that may take its time: another one waits for at most one page.
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

const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s'; SET LOCAL jit = off; \
    SET LOCAL idle_in_transaction_session_timeout = 0";

impl Sink for ServerEnd<Open> {
    fn claim(&mut self, history: &str) -> Answer<Claim> {
        let claimed = at_leisure(&mut self.open, |open| claim(open.connection(), history));
        claimed.map_err(SideError::of("cannot begin the copy"))
    }

    fn begin_tables(&mut self) -> Answer<()> {
        let mut begin = format!("{BEGIN};");
        for table in TABLES.iter().rev() {
            begin += &format!("DELETE FROM executor.{};", table.name);
        }
        let begun = self.open.connection().batch_execute(&begin);
        begun.map_err(SideError::of("cannot begin the copy"))
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
        let ended = self.open.connection().batch_execute(
            "SELECT setval(pg_get_serial_sequence('executor.sessions', 'id'), \
               coalesce((SELECT max(id) FROM executor.sessions), 0) + 1, false); COMMIT",
        );
        ended.map_err(SideError::of("cannot write sessions"))
    }

    fn replace(&mut self, span: Span<'_>, rows: &[Row]) -> Answer<()> {
        let ended: Vec<i64> = rows.iter().map(ended).collect();
        days::make(&mut self.open, ended.iter().copied());
        let replaced = at_leisure(&mut self.open, |open| {
            days::keep(open)?;
            replace(open.connection(), span, rows, &ended)
        });
        replaced.map_err(SideError::of("cannot write executions"))
    }

    fn clear_rollups(&mut self) -> Answer<()> {
        let cleared = at_leisure(&mut self.open, |open| {
            open.connection()
                .batch_execute("DELETE FROM executor.rollups")
        });
        cleared.map_err(SideError::of("cannot write rollups"))
    }

    fn add_rollups(&mut self, rows: &[Row]) -> Answer<()> {
        let added = at_leisure(&mut self.open, |open| add_rollups(open.connection(), rows));
        added.map_err(SideError::of("cannot write rollups"))
    }

    fn finish(&mut self) -> Answer<()> {
        let finished = at_leisure(&mut self.open, |open| unclaim(open.connection()));
        finished.map_err(SideError::of("cannot end the copy"))?;
        // Else the first questions are planned for empty tables.
        let analyzed = self.open.connection().batch_execute(
            "ANALYZE executor.executions, executor.execution_lines, executor.rollups, executor.session_hours, \
               executor.entities",
        );
        analyzed.map_err(SideError::of("cannot end the copy"))
    }
}

fn ended(row: &Row) -> i64 {
    let column = |at| number(row, at).unwrap_or_default();
    column(execution::START).saturating_add(column(execution::DURATION))
}
