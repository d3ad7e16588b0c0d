//! Ctrl-C and SIGTERM.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, ended, until};

/// A job that leaves a file `begun` and then takes five minutes.
const LONG: &str = "[[job]]\napp = \"a\"\nname = \"long\"\nevery = \"50ms\"\n\
                    run = [\"sh\", \"-c\", \": > begun; exec sleep 300\"]\n";

/// The program with that job running, and so much time to stop.
struct Running {
    child: Child,
    errors: BufReader<ChildStderr>,
}

impl Running {
    fn start(place: &Place, shutdown_timeout: &str) -> Self {
        let run = format!("[run]\nshutdown_timeout = \"{shutdown_timeout}\"\n");
        place.file("c.toml", &format!("{run}{LONG}"));
        let mut child = place.start(&["run", "c.toml", "--json"]);
        let errors = BufReader::new(child.stderr.take().unwrap());
        let begun = place.directory.path().join("begun");
        until("it has begun", || begun.exists().then_some(()));
        Self { child, errors }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(
                self.errors.read_line(&mut line).unwrap() > 0,
                "it ended before {word}"
            );
        }
    }

    fn tell(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

#[test]
fn the_first_signal_stops_in_order_and_records_what_was_running() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let running = Running::start(&place, "1s");
        running.tell(signal);
        let said = ended(running.child);
        assert_eq!(said.code, Some(0));
        assert!(said.out.contains("\"cancelled\": 1"), "{}", said.out);
        assert_eq!(
            place.text("telemetry.db", "SELECT status FROM sessions"),
            "success"
        );
    }
}

/// GNU `timeout` sends one to the process and one to its group.
#[test]
fn two_signals_at_once_stop_in_order() {
    let place = Place::new();
    let running = Running::start(&place, "1s");
    running.tell(Signal::TERM);
    running.tell(Signal::INT);
    let said = ended(running.child);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("\"cancelled\": 1"), "{}", said.out);
}

#[test]
fn the_second_signal_ends_at_once() {
    let place = Place::new();
    // Who waited for the job or for the deadline would be here for minutes.
    let mut running = Running::start(&place, "10m");
    running.tell(Signal::TERM);
    running.wait_for("a second signal ends it at once");
    // Two at once are one.
    let code = until("it ends", || {
        running.tell(Signal::TERM);
        thread::sleep(Duration::from_millis(150));
        running.child.try_wait().unwrap()
    });
    assert_eq!(code.code(), Some(130));
}
