//! The verbs that look at jobs and processes: `timers` and `sessions`.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Place, ended, until};

const CONFIG: &str = r#"
[store]
url = "house.db"

[[job]]
app = "house"
name = "backup"
run = ["false"]
cron = "0 3 * * *"
time_zone = "UTC"

[[job]]
app = "house"
name = "beat"
run = ["@noop"]
every = "100ms"

[[listener]]
app = "house"
name = "hall"
topic = "motion"
run = ["@noop"]
"#;

fn lines(text: &str) -> Vec<serde_json::Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

#[test]
fn i01_timers_say_when_each_job_runs_next_and_how_it_ran_last() {
    let place = Place::new();
    place.file("executor.toml", CONFIG);
    let mut run = place.start(&["run", "executor.toml"]);
    until("it has beaten", || {
        let said = place.run(&["timers", "--json"]);
        let jobs = lines(&said.out);
        let beat = jobs.iter().find(|job| job["name"] == "beat")?;
        (beat["last_status"] == "success" && jobs.len() == 2).then_some(())
    });
    let said = place.run(&["timers", "--utc"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let table: Vec<&str> = said.out.lines().collect();
    assert!(
        table[0].starts_with("NEXT") && table[0].ends_with("SCHEDULE"),
        "{}",
        said.out
    );
    assert!(
        table[1].contains("house/beat") && table[1].contains("success"),
        "{}",
        said.out
    );
    assert!(
        table[2].contains("03:00:00 ") && table[2].ends_with("house/backup  cron 0 3 * * * UTC"),
        "{}",
        said.out
    );
    assert_eq!(table.len(), 3, "a listener has no schedule: {}", said.out);

    run.kill().unwrap();
    run.wait().unwrap();
    // The next process finds that nobody was there, and ends well.
    let said = place.run(&["run", "executor.toml", "--for", "300ms"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = place.run(&["timers"]);
    assert!(
        said.out
            .ends_with("\nno process is running: nothing will start until one does\n"),
        "{}",
        said.out
    );

    let said = place.run(&["sessions", "--json"]);
    let sessions = lines(&said.out);
    let statuses: Vec<_> = sessions
        .iter()
        .map(|it| it["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["success", "crashed"]);
    assert_eq!(sessions[0]["program"], "executor");
    let stored = place.number("house.db", "SELECT count(*) FROM executions");
    let told: i64 = sessions
        .iter()
        .map(|it| it["stored"].as_i64().unwrap())
        .sum();
    assert_eq!(told, stored);
    let said = place.run(&["sessions", "-n", "1"]);
    assert!(said.out.starts_with("STARTED "), "{}", said.out);
    assert!(
        said.out.ends_with("\n1 session, and more: --limit\n"),
        "{}",
        said.out
    );
}

#[test]
fn i01_check_says_what_would_run_and_which_program_is_not_there() {
    let place = Place::new();
    place.file("executor.toml", CONFIG);
    let said = place.run(&["check", "executor.toml", "--utc"]);
    assert_eq!((said.code, &*said.err), (Some(0), ""));
    let of_backup = said.out.lines().find(|line| line.contains("house/backup"));
    let of_backup = of_backup.unwrap();
    assert_eq!(of_backup.matches("03:00:00").count(), 3, "{}", said.out);
    assert!(of_backup.ends_with("false"), "{}", said.out);
    assert!(said.out.contains("topic motion"), "{}", said.out);
    assert!(said.out.ends_with("\nno problems found\n"), "{}", said.out);
    assert!(
        !place.directory.path().join("house.db").exists(),
        "nothing runs"
    );

    place.file("tool", "#!/bin/sh\n");
    for absent in ["no-such-program", "./no/such/path", "./tool", "/"] {
        let config = CONFIG.replace("\"false\"", &format!("\"{absent}\""));
        place.file("executor.toml", &config);
        let said = place.run(&["check", "executor.toml"]);
        assert_eq!(said.code, Some(3), "{absent}: {}", said.out);
        assert!(
            said.out.contains(&format!("{absent} (not found)\n")),
            "{}",
            said.out
        );
        let said = place.run(&["check", "executor.toml", "--json"]);
        let found: Vec<_> = lines(&said.out)
            .iter()
            .map(|it| it["is_found"] == true)
            .collect();
        assert_eq!(found, [true, false, true]);
    }
    place.file("executor.toml", "[[job]]");
    let said = place.run(&["check", "executor.toml"]);
    assert_eq!((said.code, &*said.out), (Some(3), ""), "{}", said.err);
}

#[test]
fn i01_of_a_history_without_jobs_there_are_no_timers() {
    let place = Place::new();
    let (store, listener) = (CONFIG.find("[[job]]"), CONFIG.find("[[listener]]"));
    let config = [&CONFIG[..store.unwrap()], &CONFIG[listener.unwrap()..]];
    place.file("c.toml", &config.concat());
    let said = place.run(&["run", "c.toml", "--for", "10ms"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = place.run(&["timers", "--db", "house.db"]);
    assert_eq!(
        (said.code, &*said.out),
        (Some(9), "no jobs with a schedule\n")
    );
    let said = place.run(&["timers", "--db", "house.db", "--json"]);
    assert_eq!((said.code, &*said.out), (Some(9), ""));
}

#[test]
fn i01_a_job_that_has_not_run_yet_runs_an_interval_after_its_process_began() {
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"hourly\"\nevery = \"1h\"\nrun = [\"@noop\"]\n";
    place.file("c.toml", job);
    let running = place.start(&["run", "c.toml"]);
    let left = until("it is planned", || {
        let said = place.run(&["timers", "--json", "--db", "telemetry.db"]);
        let timer: Value = serde_json::from_str(said.out.lines().next()?).ok()?;
        let next = timer["next_us"].as_i64()?;
        Some(next - jiff::Timestamp::now().as_microsecond())
    });
    assert!((3_400_000_000..=3_600_000_000).contains(&left), "{left}");
    let status = place.run(&["status", "--db", "telemetry.db"]);
    assert!(status.out.contains("a/hourly in 59m"), "{}", status.out);
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(ended(running).code, Some(0));
}
