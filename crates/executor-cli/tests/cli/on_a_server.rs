//! Histories on a PostgreSQL server: every verb takes one, and says of it what it says of a file.

use std::sync::Arc;
use std::time::Duration;

use command_executor::{PostgresOptions, PostgresStore, SqliteStore, Timestamp};
use executor_testkit::TempPostgres;

use crate::alike::assert_alike;
use crate::fixture::{House, house_in, now};
use crate::questions::each_is_answered;
use crate::support::Place;

/// The server, or `None` where there is none; then this says so.
pub(crate) fn server() -> Option<&'static TempPostgres> {
    let server = TempPostgres::shared();
    if server.is_none() {
        eprintln!("SKIPPED: no programs of a PostgreSQL server are installed");
        assert!(
            std::env::var_os("CI").is_none(),
            "nothing may be skipped here"
        );
    }
    server
}

pub(crate) fn house_on_a_server(now: Timestamp) -> Option<House> {
    let server = server()?;
    let (place, url) = (Place::new(), server.url(&server.database()));
    let mut options = PostgresOptions::default();
    options.state_dir = Some(place.directory.path().join("state"));
    let store = async {
        let store = PostgresStore::open_with(&url, options).await;
        Arc::new(store.unwrap())
    };
    Some(house_in(place, &url, now, store))
}

fn house_in_a_file(now: Timestamp) -> House {
    let place = Place::new();
    let path = place.directory.path().join("house.db");
    house_in(place, "house.db", now, async {
        Arc::new(SqliteStore::open(path.to_str().unwrap()).await.unwrap())
    })
}

#[test]
fn h01_each_of_the_ten_questions_is_answered_of_a_server() {
    if let Some(house) = house_on_a_server(now()) {
        each_is_answered(&house);
    }
}

#[test]
fn h01_every_verb_says_of_a_server_what_it_says_of_a_file() {
    let at = now().saturating_sub(Duration::from_millis(5));
    let Some(server) = house_on_a_server(at) else {
        return;
    };
    let file = house_in_a_file(at);
    assert_alike(&server, &file);
}
