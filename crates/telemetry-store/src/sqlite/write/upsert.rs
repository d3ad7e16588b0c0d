//! Inserts or updates a registration's row. diesel prepares its own upserts anew for each row, which takes
//! longer than everything else; these statements are prepared once.

use diesel::QueryResult;
use diesel::query_builder::AstPass;
use diesel::sql_types::{BigInt, Nullable, Text as SqlText};
use diesel::sqlite::Sqlite;

/// A row that is inserted, or replaces every column of the row with its key. Its statement returns the id.
pub(crate) trait Upsert {
    const TABLE: &'static str;
    /// The columns of its key, with commas.
    const KEY: &'static str;
    const COLUMNS: &'static [&'static str];

    fn text() -> &'static Text;

    /// Binds its columns, in their order.
    fn bind<'b>(&'b self, out: &mut Binder<'_, '_, 'b>) -> QueryResult<()>;
}

/// The text of the statement before and after the bound values.
pub(crate) struct Text {
    head: String,
    tail: String,
}

impl Text {
    pub(crate) fn of<U: Upsert>() -> Self {
        let set = |column: &&str| format!("{column} = excluded.{column}");
        let sets: Vec<String> = U::COLUMNS.iter().map(set).collect();
        Self {
            head: format!(
                "INSERT INTO {} ({}) VALUES (",
                U::TABLE,
                U::COLUMNS.join(", ")
            ),
            tail: format!(
                ") ON CONFLICT ({}) DO UPDATE SET {} RETURNING id",
                U::KEY,
                sets.join(", ")
            ),
        }
    }
}

/// Binds values and puts commas between them.
pub(crate) struct Binder<'o, 'p, 'b> {
    out: &'o mut AstPass<'p, 'b, Sqlite>,
    is_first: bool,
}

impl Binder<'_, '_, '_> {
    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push_sql(", ");
        }
    }
}

/// What a column may hold.
pub(crate) trait Column {
    fn bind<'b>(&'b self, out: &mut Binder<'_, '_, 'b>) -> QueryResult<()>;
}

macro_rules! column {
    ($type:ty, $sql:ty) => {
        impl Column for $type {
            fn bind<'b>(&'b self, out: &mut Binder<'_, '_, 'b>) -> QueryResult<()> {
                out.separate();
                out.out.push_bind_param::<$sql, _>(self)
            }
        }
    };
}

column!(i64, BigInt);
column!(Option<i64>, Nullable<BigInt>);
column!(&str, SqlText);
column!(Option<&str>, Nullable<SqlText>);

pub(crate) fn walk<'b, U: Upsert>(
    row: &'b U,
    out: &mut AstPass<'_, 'b, Sqlite>,
) -> QueryResult<()> {
    let text = U::text();
    out.push_sql(&text.head);
    let mut binder = Binder {
        out,
        is_first: true,
    };
    row.bind(&mut binder)?;
    out.push_sql(&text.tail);
    Ok(())
}

/// Makes a row a query that returns its id.
macro_rules! query {
    ($row:ident) => {
        impl diesel::query_builder::QueryId for $row<'_> {
            type QueryId = $row<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl diesel::query_builder::Query for $row<'_> {
            type SqlType = diesel::sql_types::BigInt;
        }

        impl diesel::RunQueryDsl<diesel::sqlite::SqliteConnection> for $row<'_> {}

        impl diesel::query_builder::QueryFragment<diesel::sqlite::Sqlite> for $row<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, diesel::sqlite::Sqlite>,
            ) -> diesel::QueryResult<()> {
                $crate::sqlite::write::upsert::walk(self, &mut out)
            }
        }
    };
}

pub(crate) use query;
