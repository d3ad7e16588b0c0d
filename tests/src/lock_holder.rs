//! Another process that locks a database: `lock-holder DATABASE` takes the write lock, says
//! `locked`, and lets go when its standard input ends.

use std::io::{self, Read, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: lock-holder DATABASE")?;
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    println!("locked");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}
