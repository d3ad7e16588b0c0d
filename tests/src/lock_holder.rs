//! Another process that locks a database: `lock-holder DATABASE` takes the write lock, says
//! `locked`, and lets go when its standard input ends. With `open` behind it it takes no lock, and says so.

use std::io::{self, Read, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: lock-holder DATABASE")?;
    let (begin, done) = match std::env::args().nth(2).as_deref() {
        None => ("BEGIN IMMEDIATE", "locked"),
        Some("open") => ("BEGIN", "open"),
        Some(other) => return Err(format!("{other} is not known, only `open` is").into()),
    };
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(begin)?;
    println!("{done}");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}
