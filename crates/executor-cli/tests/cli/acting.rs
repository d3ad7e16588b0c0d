//! `executor run --serve --allow-actions`: what people do through the dashboard, over a real connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::fixture::{House, house};
use crate::serving::Server;
use crate::support::until;

const HOUSE: &str = r#"
[run]
shutdown_timeout = "1s"
[[job]]
app = "attic"
name = "nap"
after = "10ms"
run = ["sleep", "60"]
[[job]]
app = "attic"
name = "fan"
after = "1h"
run = ["true"]
"#;

/// A run with its dashboard, and the token as a header.
fn running(house: &House, config: &str, more: &[&str]) -> (Server, String) {
    house.place.file("attic.toml", config);
    let arguments = [
        "run",
        "attic.toml",
        "--db",
        &house.db,
        "--serve",
        "127.0.0.1:0",
    ];
    let mut program = house.place.program(&arguments);
    program.args(more);
    let server = Server::started(program, 2);
    let token = server.said[1].strip_prefix("its token is ").unwrap();
    let bearer = format!("authorization: Bearer {token}\r\naccept: application/json\r\n");
    (server, bearer)
}

/// Posts a form, and returns the status and the figures of the answer.
fn post(server: &Server, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let address = server.address();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-type: \
         application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer[9..12].parse().unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn figures(server: &Server, path: &str, headers: &str) -> Value {
    let answer = server.get(path, headers);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    serde_json::from_str(body).unwrap()
}

/// The page of a job.
fn page_of(server: &Server, bearer: &str, what: &str) -> String {
    let all = figures(server, "/health", bearer);
    let all = all["registered"].as_array().unwrap().clone();
    let row = all.iter().find(|it| it["what"] == what).unwrap();
    row["path"].as_str().unwrap().to_owned()
}

#[test]
fn j02_people_act_on_what_runs_and_it_is_recorded() {
    let house = house();
    let (server, bearer) = running(&house, HOUSE, &["--allow-actions"]);
    let nap = until("the nap is seen", || {
        let now = figures(&server, "/", &bearer);
        let processes = now["processes"].as_array()?.clone();
        let mut naps = processes.iter().filter_map(|it| it["running"].get(0));
        let nap = naps.find(|it| it["what"] == "attic/nap")?;
        Some(nap["id"].as_str()?.to_owned())
    });
    let fan = page_of(&server, &bearer, "attic/fan");
    let act = |action: &str| post(&server, &format!("{fan}/act"), &bearer, action);
    let (status, ran) = act("action=run");
    assert_eq!((status, &ran["done"]), (200, &Value::Bool(true)), "{ran}");
    assert_eq!(act("action=pause").0, 200);
    let (status, refused) = act("action=run");
    assert_eq!(status, 409, "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("paused"));
    assert_eq!(act("action=resume").0, 200);
    let cancel = format!("/executions/{nap}/cancel");
    assert_eq!(post(&server, &cancel, &bearer, "").0, 200);
    until("the nap is over", || {
        let one = figures(&server, &format!("/executions/{nap}"), &bearer);
        (one["execution"]["status"] == "cancelled").then_some(())
    });
    let ledger = figures(&server, "/ledger", &bearer);
    let actions = ledger["actions"].as_array().unwrap();
    let done: Vec<_> = actions
        .iter()
        .map(|it| it["action"].as_str().unwrap())
        .collect();
    assert_eq!(done, ["cancel", "resume", "run", "pause", "run"]);
    for action in actions {
        assert_eq!(action["who"], "a program with the token");
        assert!(action["origin"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

#[test]
fn j02_without_leave_nothing_can_be_done() {
    let house = house();
    let (server, bearer) = running(&house, HOUSE, &[]);
    let fan = page_of(&server, &bearer, "attic/fan");
    let (status, refused) = post(&server, &format!("{fan}/act"), &bearer, "action=run");
    assert_eq!(status, 403, "{refused}");
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("--allow-actions")
    );
    let alone = house.place.run(&["run", "attic.toml", "--allow-actions"]);
    assert_eq!(alone.code, Some(2), "{}", alone.err);
}

/// Runs two listeners of one source of events.
const HEARING: &str = r#"
[run]
shutdown_timeout = "1s"
[[source]]
name = "hub"
socket = "hub.sock"
[[listener]]
app = "house"
name = "bell"
topic = "bell"
run = ["true"]
[[listener]]
app = "house"
name = "door"
topic = "door"
run = ["true"]
"#;

#[test]
fn j02_a_paused_listener_does_not_keep_others_from_hearing() {
    let house = house();
    let (server, bearer) = running(&house, HEARING, &["--allow-actions"]);
    let hub = house.place.directory.path().join("hub.sock");
    let mut hub = until("the source listens", || UnixStream::connect(&hub).ok());
    let mut say = |topic: &str| writeln!(hub, "{{\"topic\":\"{topic}\"}}").unwrap();
    let heard = |what: &str, wanted: u64| {
        until(&format!("{what} has run {wanted} times"), || {
            let all = figures(&server, "/handlers", &bearer);
            let all = all["handlers"].as_array()?.clone();
            let one = all.iter().find(|it| it["what"] == what)?;
            (one["runs"] == wanted).then_some(())
        });
    };
    say("bell");
    heard("house/bell", 1);
    let act = format!("{}/act", page_of(&server, &bearer, "house/bell"));
    assert_eq!(post(&server, &act, &bearer, "action=pause").0, 200);
    say("bell");
    say("door");
    heard("house/door", 1);
    assert_eq!(post(&server, &act, &bearer, "action=resume").0, 200);
    say("bell");
    heard("house/bell", 2);
    // What came while it was paused is counted as unheard.
    until("the source is counted", || {
        let health = figures(&server, "/health", &bearer);
        let source = health["sources"].get(0)?.clone();
        (source["events"] == 4 && source["unheard"] == 1).then_some(())
    });
}

#[test]
fn j02_what_was_asked_during_a_lock_is_recorded_after_it() {
    let house = house();
    let (server, bearer) = running(&house, HOUSE, &["--allow-actions"]);
    let act = format!("{}/act", page_of(&server, &bearer, "attic/fan"));
    let path = house.place.directory.path().join(&house.db);
    let lock = rusqlite::Connection::open(path).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (status, ran) = post(&server, &act, &bearer, "action=run");
    assert_eq!(
        (status, &ran["done"], &ran["recorded"]),
        (200, &true.into(), &false.into()),
        "{ran}"
    );
    assert!(ran["warning"].as_str().unwrap().contains("log"), "{ran}");
    lock.execute_batch("COMMIT").unwrap();
    until("it is recorded", || {
        let ledger = figures(&server, "/ledger", &bearer);
        let first = ledger["actions"].get(0)?.clone();
        let id = ran["execution"].as_str().unwrap();
        first["outcome"]
            .as_str()
            .unwrap()
            .contains(id)
            .then_some(())
    });
}
