//! What happens now: `status`, and the verbs that go on.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fixture::house;
use crate::support::{Place, ended, until};

const CONFIG: &str = r#"
[store]
url = "house.db"

[[job]]
app = "house"
name = "backup"
run = ["sh", "-c", "echo copying the attic; sleep 60"]
every = "100ms"
overlap = "single"

[[job]]
app = "house"
name = "beat"
run = ["@noop"]
every = "100ms"
"#;

/// A configuration of another directory than the one in which the program is started.
const ELSEWHERE: &str = r#"
[store]
url = "house.db"

[[job]]
app = "house"
name = "tell"
run = ["./tell.sh"]
cwd = "work"
env = { TARGET = "attic" }
lines = "all"
every = "1h"

[[job]]
app = "house"
name = "mum"
run = ["sh", "-c", "echo nothing; exit 3"]
lines = "none"
every = "1h"
"#;

#[test]
fn i02_a_program_has_its_environment_and_paths_begin_at_the_configuration() {
    let place = Place::new();
    std::fs::create_dir_all(place.directory.path().join("etc/work")).unwrap();
    place.file("etc/house.toml", ELSEWHERE);
    let tell = "#!/bin/sh\necho \"$EXECUTOR_APP $EXECUTOR_NAME $TARGET $(basename \"$PWD\")\"\n";
    let script = place.file("etc/tell.sh", tell);
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(place.run(&["check", "etc/house.toml"]).code, Some(0));
    let elsewhere = ELSEWHERE.replace("cwd = \"work\"", "cwd = \"wrok\"");
    place.file("etc/wrong.toml", &elsewhere);
    assert_eq!(
        place.run(&["check", "etc/wrong.toml"]).code,
        Some(3),
        "there is no such directory"
    );
    let own_path = ELSEWHERE.replace("[\"./tell.sh\"]", "[\"tell.sh\"]");
    let own_path = own_path.replace(
        "TARGET = \"attic\"",
        &format!(
            "PATH = \"{}/etc:/bin:/usr/bin\"",
            place.directory.path().display()
        ),
    );
    place.file("etc/path.toml", &own_path);
    assert_eq!(
        place.run(&["check", "etc/path.toml"]).code,
        Some(0),
        "it is on its own PATH"
    );
    assert_eq!(
        place
            .run(&["run", "etc/path.toml", "--now", "house/tell"])
            .code,
        Some(0)
    );
    let said = place.run(&["run", "etc/house.toml", "--now", "house/tell", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(
        place
            .run(&["run", "etc/house.toml", "--now", "house/mum"])
            .code,
        Some(11)
    );
    let logs = |name| place.run(&["logs", name, "--db", "etc/house.db"]).out;
    assert!(
        logs("house/tell").contains("house tell attic work\n"),
        "{}",
        logs("house/tell")
    );
    assert!(
        logs("house/mum").contains("house/mum"),
        "{}",
        logs("house/mum")
    );
    assert!(
        !logs("house/mum").contains("nothing"),
        "{}",
        logs("house/mum")
    );
}

fn state(place: &Place) -> Value {
    let said = place.run(&["status", "--json", "--db", "house.db"]);
    serde_json::from_str(&said.out).unwrap_or_default()
}

#[test]
fn i01_status_says_what_runs_and_what_a_killed_process_was_doing() {
    let place = Place::new();
    // On a slow day a run each 100 ms may be missed.
    let calm = CONFIG.replacen("every = \"100ms\"", "after = \"100ms\"", 1);
    place.file(
        "executor.toml",
        &calm.replace(
            "every = \"100ms\"",
            "cron = \"0 3 * * *\"\ntime_zone = \"UTC\"",
        ),
    );
    let mut run = place.start(&["run", "executor.toml"]);
    until("it says something", || {
        let said = place.run(&["status"]);
        said.out.contains("copying the attic").then_some(())
    });
    let said = place.run(&["status"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("running    executor on ") && lines[0].contains(" in progress"),
        "{}",
        said.out
    );
    assert!(
        lines[1].contains("house/backup  ") && lines[1].ends_with("copying the attic"),
        "{}",
        said.out
    );
    assert!(said.out.contains("\nnext       house/beat"), "{}", said.out);
    assert!(said.out.ends_with("\nmissing    nothing\n"), "{}", said.out);

    run.kill().unwrap();
    run.wait().unwrap();
    // At once, although its last sign of life was just now.
    let said = place.run(&["status"]);
    assert!(
        said.out
            .starts_with("running    nothing; the last process was last seen alive "),
        "{}",
        said.out
    );
    assert!(said.out.contains("\ndied       pid "), "{}", said.out);
    assert!(
        said.out.contains("was running: house/backup"),
        "{}",
        said.out
    );
    let sessions = place.run(&["sessions"]);
    assert!(sessions.out.contains("silent"), "{}", sessions.out);
    let timers = place.run(&["timers"]);
    assert!(
        timers.out.contains("no process is running"),
        "{}",
        timers.out
    );

    let next = place.start(&["run", "executor.toml"]);
    let state = until("what it left is taken over", || {
        let state = state(&place);
        (state["last_crash"]["interrupted"][0]["name"] == "backup").then_some(state)
    });
    let pid = Pid::from_raw(i32::try_from(next.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let said = ended(next);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(state["last_crash"]["status"], "crashed");
}

#[test]
fn i01_status_of_a_history_names_the_last_crash_and_what_is_missing() {
    let house = house();
    let said = house.place.run(&["status", "--db", "house.db"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out
            .starts_with("running    nothing; the last process ended "),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("killed; interrupted: house/backup "),
        "{}",
        said.out
    );
    let missing = "\nmissing    incomplete: 12 records were lost: see `executor audit` · 3 planned runs missed: see \
                   `executor timers`\n";
    assert!(said.out.ends_with(missing), "{}", said.out);
    let state = state(&house.place);
    assert_eq!(state["missing"]["lost"], 12);
    assert_eq!(
        state["last_hour"]["success"], 0,
        "two hours ago it was closed"
    );

    let empty = Place::new();
    let said = empty.run(&["status", "--db", "nothing.db"]);
    assert_eq!(said.code, Some(4), "{}", said.out);
}

#[test]
fn i01_following_prints_each_execution_once_and_ends_with_its_reader() {
    let place = Place::new();
    place.file("executor.toml", CONFIG);
    let mut run = place.start(&["run", "executor.toml"]);
    until("there are more than it shows", || {
        let said = place.run(&["ls", "--json", "--name", "beat"]);
        (said.out.lines().count() > 10).then_some(())
    });
    let mut follow = place.program(&["ls", "--follow", "--json", "--name", "beat", "-n", "3"]);
    let mut follow = follow
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap())
        .lines()
        .take(40);
    let executions = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let executions: Vec<Value> = executions.collect();
    // Nobody reads it any more.
    assert_eq!(follow.wait().unwrap().code(), Some(0));
    let ids: std::collections::HashSet<&str> = executions
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 40, "none twice");
    let ends: Vec<i64> = executions
        .iter()
        .map(|it| it["ended_us"].as_i64().unwrap())
        .collect();
    assert!(ends.is_sorted(), "nothing from before: {ends:?}");
    let between = format!(
        "SELECT count(*) FROM executions_v WHERE name = 'beat' AND ended_us BETWEEN {} AND {}",
        ends.iter().min().unwrap(),
        ends.iter().max().unwrap()
    );
    assert_eq!(place.number("house.db", &between), 40, "none left out");
    run.kill().unwrap();
    run.wait().unwrap();

    for refused in [
        &["ls", "-f", "--reverse"][..],
        &["ls", "-f", "--until", "now"],
        &["logs", "latest", "-f"],
    ] {
        assert_eq!(place.run(refused).code, Some(2), "{refused:?}");
    }
}

const NIGHTLY: &str = r#"
[store]
url = "house.db"

[[job]]
app = "house"
name = "backup"
run = ["sh", "-c", "echo copied"]
cron = "0 3 * * *"
time_zone = "UTC"

[[job]]
app = "house"
name = "broken"
run = ["sh", "-c", "echo 'no route to attic' >&2; exit 12"]
cron = "0 4 * * *"
time_zone = "UTC"
"#;

#[test]
fn i01_run_now_runs_one_job_once_and_leaves_its_schedule_to_whoever_has_it() {
    let place = Place::new();
    place.file("executor.toml", NIGHTLY);
    let mut run = place.start(&["run", "executor.toml"]);
    until("somebody is in charge", || {
        let said = place.run(&["timers", "--json"]);
        (said.code == Some(0) && said.out.lines().count() == 2).then_some(())
    });
    let charges = "SELECT count(*) FROM session_registrations";
    until("of both", || {
        (place.number("house.db", charges) == 2).then_some(())
    });

    let said = place.run(&["run", "executor.toml", "--now", "house/backup"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines[0].contains("house/backup  success  exit status 0"),
        "{}",
        said.out
    );
    assert!(lines[1].ends_with(" out   copied"), "{}", said.out);
    assert_eq!(said.err, "", "nobody is warned of");
    let said = place.run(&["run", "executor.toml", "--now", "house/broken", "--json"]);
    assert_eq!(said.code, Some(11), "{}", said.err);
    let broken: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&broken["status"], &broken["due_us"]),
        (&"error".into(), &Value::Null)
    );

    assert_eq!(
        place.number("house.db", "SELECT count(*) FROM executions"),
        2
    );
    assert_eq!(
        place.number("house.db", charges),
        2,
        "only the other one is in charge"
    );
    let ended = "SELECT count(*) FROM schedules WHERE until_us IS NOT NULL";
    assert_eq!(place.number("house.db", ended), 0);
    assert_eq!(
        place.number("house.db", "SELECT count(*) FROM schedules"),
        2
    );
    run.kill().unwrap();
    run.wait().unwrap();

    let said = place.run(&["run", "executor.toml", "--now", "house/attic"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err
            .contains("has no job `house/attic`; it has house/backup, house/broken"),
        "{}",
        said.err
    );
    assert_eq!(
        place.run(&["run", "executor.toml", "--now", "attic"]).code,
        Some(2)
    );
    let both = [
        "run",
        "executor.toml",
        "--now",
        "house/backup",
        "--for",
        "1s",
    ];
    assert_eq!(place.run(&both).code, Some(2));
}

#[test]
fn g04_what_runs_and_what_died_with_its_process_is_explained() {
    let place = Place::new();
    let once = CONFIG.replacen("every = \"100ms\"", "after = \"10ms\"", 1);
    place.file("executor.toml", &once);
    let mut run = place.start(&["run", "executor.toml"]);
    let explain = || place.run(&["explain", "house/backup"]);
    let said = until("it runs", || {
        let said = explain();
        said.out.contains("has been running").then_some(said)
    });
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.starts_with("house/backup has been running since "),
        "{}",
        said.out
    );
    run.kill().unwrap();
    run.wait().unwrap();
    let said = explain();
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(
        said.out.ends_with(", and its process died.\n"),
        "{}",
        said.out
    );
    let of_another = place.run(&["explain", "house#1/backup"]);
    assert_eq!(of_another.code, Some(9), "{}", of_another.out);
}
