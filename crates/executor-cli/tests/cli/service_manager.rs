//! Clause I6: under systemd it says that it is ready, what it does, that it is alive, and that it stops.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, ended, listener, until};

/// Plays systemd.
struct Manager(UnixDatagram);

impl Manager {
    fn new(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.directory.path().join("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Self(socket)
    }

    /// The messages until one has this line, and that.
    fn until(&self, line: &str) -> Vec<String> {
        let (mut heard, mut buffer) = (Vec::new(), [0; 4_096]);
        loop {
            let length = self.0.recv(&mut buffer).unwrap();
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            let is_it = message.lines().any(|it| it == line);
            heard.push(message);
            if is_it {
                return heard;
            }
        }
    }
}

#[test]
fn i06_it_says_that_it_is_ready_that_it_is_alive_and_that_it_stops() {
    let place = Place::new();
    let manager = Manager::new(&place);
    let job = "[[job]]\napp = \"a\"\nname = \"env\"\nafter = \"1ms\"\nrun = [\"sh\", \"-c\", \"env > environment\"]\n";
    place.file(
        "c.toml",
        &(job.to_owned() + &listener("all", "[\"@noop\"]", "")),
    );
    let mut program = place.program(&["run", "c.toml"]);
    let program = program
        .env("NOTIFY_SOCKET", place.directory.path().join("notify"))
        .env("WATCHDOG_USEC", "600000")
        .env("EXECUTOR_DB", "secret.db")
        .env("EXECUTOR_TOKEN", "0123456789abcdef0123456789abcdef");
    let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = program.spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();

    let ready = manager.until("READY=1");
    assert_eq!(ready.len(), 1, "nothing comes before: {ready:?}");
    assert!(
        ready[0].contains("STATUS=running 1 listener and 1 job"),
        "{ready:?}"
    );
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    let environment = place.directory.path().join("environment");
    let given = until("the job has run", || {
        let given = fs::read_to_string(&environment).ok()?;
        given.contains("EXECUTOR_NAME=env\n").then_some(given)
    });
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "EXECUTOR_DB",
        "EXECUTOR_TOKEN",
    ] {
        assert!(!given.contains(name), "{name} is nothing for programs");
    }
    until("the status tells what is stored", || {
        let heard = manager.until("WATCHDOG=1");
        heard.iter().any(|it| it.contains("1 stored")).then_some(())
    });
    kill_process(pid, Signal::TERM).unwrap();
    manager.until("STOPPING=1");
    assert_eq!(ended(running).code, Some(0));
}

#[test]
fn i06_a_database_that_another_program_locks_is_no_reason_to_be_restarted() {
    let place = Place::new();
    let manager = Manager::new(&place);
    let job = "[[job]]\napp = \"a\"\nname = \"tick\"\nevery = \"50ms\"\nrun = [\"@noop\"]\n";
    place.file("c.toml", job);
    let mut program = place.program(&["run", "c.toml"]);
    let program = program
        .env("NOTIFY_SOCKET", place.directory.path().join("notify"))
        .env("WATCHDOG_USEC", "600000");
    let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = program.spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    manager.until("WATCHDOG=1");

    let database = place.directory.path().join("telemetry.db");
    let mut other = rusqlite::Connection::open(&database).unwrap();
    let behavior = rusqlite::TransactionBehavior::Immediate;
    let lock = other.transaction_with_behavior(behavior).unwrap();
    until("it says that it is degraded", || {
        let heard = manager.until("WATCHDOG=1");
        heard.iter().any(|it| it.contains("degraded")).then_some(())
    });
    drop(lock);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
}
