//! Histories on a PostgreSQL server: every verb takes one, and says of it what it says of a file.

use std::sync::Arc;
use std::time::Duration;

use command_executor::{PostgresOptions, PostgresStore, SqliteStore, Timestamp};
use executor_testkit::TempPostgres;

use crate::fixture::{House, house_in, now};
use crate::questions::each_is_answered;
use crate::support::{Place, Said};

/// The server, or `None` where there is none; then this says so.
fn server() -> Option<&'static TempPostgres> {
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

/// An exit code and all that was printed.
type Spoken = (Option<i32>, String);

/// What a command says, without what is random: ids, the address, and how long something took or is ago.
fn said_of(house: &House, words: &[&str]) -> Spoken {
    let words: Vec<&str> = words.iter().copied().chain(["--db", &house.db]).collect();
    let Said { code, out, err } = house.place.run(&words);
    let all = format!("{out}{err}").replace(&house.db, "DB");
    (code, without_ids(&all))
}

/// What a command says of a file and of a server, asked until both were asked in the same moment.
///
/// One is asked after the other, and what is left until a job is due is told in tenths of a second when it is less
/// than a minute: a difference that stays is one of the histories.
fn said_of_both(file: &House, server: &House, words: &[&str]) -> (Spoken, Spoken) {
    let both = || (said_of(file, words), said_of(server, words));
    (0..30)
        .map(|_| both())
        .find(|(of_file, of_server)| of_file == of_server)
        .unwrap_or_else(both)
}

/// Replaces each run of hexadecimal digits and dashes that is long enough to be an id.
fn without_ids(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let words = line.split_inclusive(|c: char| !c.is_ascii_hexdigit() && c != '-');
        for word in words {
            let id = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
            let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
            let has_letters = id.bytes().any(|byte| byte.is_ascii_alphabetic());
            // A short id has ten; a time in microseconds has more.
            let is_id = digits == 10 || digits > 10 && has_letters;
            match is_id {
                true => shown.push_str(&word.replace(id, "ID")),
                false => shown.push_str(word),
            }
        }
        shown.push('\n');
    }
    shown
}

#[test]
fn h01_every_verb_says_of_a_server_what_it_says_of_a_file() {
    let at = now().saturating_sub(Duration::from_millis(5));
    let Some(server) = house_on_a_server(at) else {
        return;
    };
    let file = house_in_a_file(at);
    for command in [
        "ls --limit 40",
        "ls --reverse --limit 7 --json",
        "ls --failed",
        "ls --status interrupted,panicked",
        "ls --app cellar --json",
        "ls --name backup --since 9d --until 8d",
        "ls --min-duration 4m --limit 5",
        "ls --error connection",
        "ls --session latest --limit 3",
        "logs --failed",
        "logs --grep attic",
        "report",
        "report --json",
        "report house/backup --since 14d",
        "report --compare 7d",
        "errors",
        "errors --json",
        "timeline --since 3h",
        "timers",
        "status",
        "sessions",
        "sources",
        "audit",
        "audit --since 8d --until 6d",
        "explain house/backup@3d",
        "show house/backup",
        "export --limit 20",
        "migrate --dry-run",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let (of_file, of_server) = said_of_both(&file, &server, &words);
        assert_eq!(of_server, of_file, "{command}");
        assert_ne!(of_file.0, Some(4), "{command}: {}", of_file.1);
    }
}
