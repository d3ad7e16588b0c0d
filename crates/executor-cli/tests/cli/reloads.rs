//! SIGUSR1: the configuration is read anew.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, ChildStdin, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, Said, ended, listener, until};

/// A program that leaves a word and the topic of its event.
fn noting(word: &str) -> String {
    format!("[\"sh\", \"-c\", \"echo {word} $EXECUTOR_TOPIC >> noted\"]")
}

/// The program, reading events from its standard input.
struct Running {
    child: Child,
    errors: BufReader<ChildStderr>,
    events: ChildStdin,
}

const SOURCE: &str = "[[source]]\nname = \"input\"\npath = \"-\"\n";

impl Running {
    fn start(place: &Place, config: &str) -> Self {
        place.file("c.toml", &format!("{SOURCE}{config}"));
        let mut program = place.program(&["run", "c.toml", "--for", "60s"]);
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let events = child.stdin.take().unwrap();
        Self {
            child,
            errors,
            events,
        }
    }

    fn event(&mut self, topic: &str) {
        writeln!(self.events, "{{\"topic\":\"{topic}\"}}").unwrap();
    }

    fn tell(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Reads another configuration, and returns what was said up to a line with this word.
    fn read_anew(&mut self, place: &Place, config: &str, word: &str) -> String {
        place.file("c.toml", config);
        self.tell(Signal::USR1);
        let (mut said, mut line) = (String::new(), String::new());
        while !line.contains(word) {
            line.clear();
            assert!(self.errors.read_line(&mut line).unwrap() > 0, "{said}");
            said.push_str(&line);
        }
        said
    }

    fn stop(self) -> Said {
        self.tell(Signal::TERM);
        drop(self.events);
        ended(self.child)
    }
}

fn noted(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.directory.path().join("noted")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until_noted(place: &Place, count: usize) -> Vec<String> {
    until("it was noted", || {
        let noted = noted(place);
        (noted.len() >= count).then_some(noted)
    })
}

#[test]
fn a_new_configuration_changes_what_begins_and_leaves_alone_what_runs() {
    let place = Place::new();
    let waiting = "[\"sh\", \"-c\", \"echo begun >> noted; while [ ! -e go ]; do sleep 0.01; done; echo ended >> noted\"]";
    let (kept, gone) = (
        listener("kept", &noting("kept"), ""),
        listener("gone", &noting("gone"), ""),
    );
    let before = format!("{}{kept}{gone}", listener("slow", waiting, ""));
    let mut running = Running::start(&place, &before);
    running.event("one");
    let mut first = until_noted(&place, 3);
    first.sort_unstable();
    assert_eq!(first, ["begun", "gone one", "kept one"]);
    let job = format!(
        "[[job]]\napp = \"a\"\nname = \"new\"\nafter = \"10ms\"\nrun = {}\n",
        noting("job")
    );
    let now = format!(
        "{SOURCE}{}{kept}{job}",
        listener("slow", &noting("fast"), "")
    );
    let said = running.read_anew(&place, &now, "anew");
    assert!(
        said.contains("c.toml anew: 1 added, 1 changed, 1 removed"),
        "{said}"
    );
    assert!(!said.contains("next start"), "{said}");
    running.event("two");
    let mut second = until_noted(&place, 6).split_off(3);
    second.sort_unstable();
    assert_eq!(second, ["fast two", "job", "kept two"]);
    place.file("go", "");
    assert_eq!(until_noted(&place, 7)[6], "ended");
    let said = running.stop();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let retired = "SELECT group_concat(name) FROM listeners WHERE removed_us IS NOT NULL";
    assert_eq!(place.text("telemetry.db", retired), "gone");
    let failed = "SELECT count(*) FROM executions_v WHERE status <> 'success'";
    assert_eq!(place.number("telemetry.db", failed), 0);
}

#[test]
fn a_bad_configuration_is_refused_and_other_tables_wait_for_the_next_start() {
    let place = Place::new();
    let mut running = Running::start(&place, &listener("all", &noting("old"), ""));
    running.event("one");
    until_noted(&place, 1);
    let bad = format!(
        "{SOURCE}{}timeout = \"soon\"\n",
        listener("all", &noting("bad"), "")
    );
    let said = running.read_anew(&place, &bad, "refused");
    let told = said.contains("c.toml:") && said.contains("soon") && said.contains("as they are");
    assert!(told, "{said}");
    running.event("two");
    assert_eq!(until_noted(&place, 2)[1], "old two");
    let store = "[store]\nmax_age = \"1d\"\n";
    let now = format!("{SOURCE}{store}{}", listener("all", &noting("new"), ""));
    let said = running.read_anew(&place, &now, "next start");
    assert!(said.contains("what changed in `store` takes"), "{said}");
    running.event("three");
    assert_eq!(until_noted(&place, 3)[2], "new three");
    assert_eq!(running.stop().code, Some(0));
}

#[test]
fn no_event_is_lost_or_handled_twice_while_configurations_change() {
    let place = Place::new();
    let queued = "overlap = \"queued\"\noverlap_limit = 10000";
    let of = |word: &str| listener("all", &noting(word), queued);
    let mut running = Running::start(&place, &of("w0"));
    running.event("first");
    until_noted(&place, 1);
    for round in 1..=10 {
        for number in 0..20 {
            running.event(&format!("e{round}.{number}"));
        }
        let now = format!("{SOURCE}{}", of(&format!("w{round}")));
        running.read_anew(&place, &now, "anew");
    }
    until_noted(&place, 201);
    assert_eq!(running.stop().code, Some(0));
    let noted = noted(&place);
    let mut topics: Vec<_> = noted
        .iter()
        .map(|it| it.split_once(' ').unwrap().1)
        .collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!((noted.len(), topics.len()), (201, 201));
    let rows = "SELECT count(*) FROM executions";
    assert_eq!(place.number("telemetry.db", rows), 201);
}

/// Two have one name, and a third one stands before them: with nothing changed nothing is changed.
#[test]
fn listeners_of_one_name_and_several_topics_stay_as_they_are() {
    let place = Place::new();
    let of = |topic: &str| listener("same", &noting(topic), "").replace('#', topic);
    let all = format!(
        "{}{}{}",
        listener("first", &noting("first"), ""),
        of("one"),
        of("two")
    );
    let mut running = Running::start(&place, &all);
    running.event("one");
    until_noted(&place, 2);
    let said = running.read_anew(&place, &format!("{SOURCE}{all}"), "anew");
    assert!(said.contains("0 added, 0 changed, 0 removed"), "{said}");
    let fewer = format!(
        "{SOURCE}{}{}",
        listener("first", &noting("first"), ""),
        of("two")
    );
    let said = running.read_anew(&place, &fewer, "anew");
    assert!(said.contains("0 added, 0 changed, 1 removed"), "{said}");
    running.event("one");
    running.event("two");
    let mut last = until_noted(&place, 5).split_off(2);
    last.sort_unstable();
    assert_eq!(last, ["first one", "first two", "two two"]);
    assert_eq!(running.stop().code, Some(0));
}
