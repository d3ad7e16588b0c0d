//! `--metrics`: what Prometheus is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, ended, until};

fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn prometheus_is_told_what_ran_and_what_became_of_it() {
    let place = Place::new();
    let job = "[[job]]\napp = \"house\"\nname = \"tick\"\nevery = \"20ms\"\nrun = [\"@noop\"]\n";
    place.file("c.toml", job);
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let running = place.start(&["run", "c.toml", "--metrics", &address]);
    let counted = "executor_executions_total{app=\"house\",status=\"success\"}";
    let answer = until("executions are counted", || {
        let answer = ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
        answer.contains(counted).then_some(answer)
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for line in [
        "executor_execution_duration_seconds_bucket{app=\"house\",le=\"0.001\"}",
        "executor_records_stored_total ",
        "executor_store_available 1",
    ] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    let other = ask(port, "GET /secret HTTP/1.1\r\n\r\n").unwrap();
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    let post = ask(port, "POST /metrics HTTP/1.1\r\n\r\n").unwrap();
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
}

#[test]
fn metrics_are_for_this_machine_alone_and_a_port_in_use_is_named() {
    let place = Place::new();
    place.file(
        "c.toml",
        "[[job]]\napp = \"a\"\nname = \"b\"\nafter = \"1s\"\nrun = [\"@noop\"]\n",
    );
    for address in ["0.0.0.0:9464", "192.0.2.1:9464", "9464", "localhost"] {
        let said = place.run(&["run", "c.toml", "--metrics", address]);
        assert_eq!(said.code, Some(2), "{address}: {}", said.err);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = place.run(&["run", "c.toml", "--metrics", &address]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains(&address), "{}", said.err);
}
