//! Whether the database is whole.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

use crate::read::question::QueryError;

/// The number of damaged places that SQLite names.
const NAMED: u32 = 20;

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    said: String,
}

/// What SQLite finds in its own pages and indexes, and which views cannot be read.
pub(crate) fn integrity(connection: &mut SqliteConnection) -> Result<Vec<String>, QueryError> {
    let question =
        format!("SELECT integrity_check AS said FROM pragma_integrity_check LIMIT {NAMED}");
    let found: Vec<Said> = diesel::sql_query(question).load(connection)?;
    let found = found.into_iter().map(|it| it.said);
    let mut damage: Vec<String> = found.filter(|said| said != "ok").collect();
    let views: Vec<Said> =
        diesel::sql_query("SELECT name AS said FROM sqlite_master WHERE type = 'view'")
            .load(connection)?;
    for view in views {
        let name = view.said.replace('"', "\"\"");
        let reading = diesel::sql_query(format!("SELECT 1 FROM \"{name}\" LIMIT 1"));
        if let Err(error) = reading.execute(connection) {
            damage.push(format!("the view {} cannot be read: {error}", view.said));
        }
    }
    Ok(damage)
}
