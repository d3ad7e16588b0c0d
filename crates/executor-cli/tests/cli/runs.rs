//! `executor run` and `executor report` on real input.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Place, ended, example, listener};

#[test]
fn the_quickstart_leaves_a_row_for_every_execution() {
    let place = Place::new();
    // The database is made beside the configuration.
    let events = example("quickstart.ndjson");
    let config = std::fs::read_to_string(example("quickstart.toml")).unwrap();
    place.file("house.toml", &config);
    let said = place.run(&["run", "house.toml", "--events", &events, "--for", "6s"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for name in ["hall", "thermostat", "audit", "heartbeat", "backup"] {
        assert!(said.out.contains(name), "{}", said.out);
    }
    let rows = place.number("quickstart.db", "SELECT count(*) FROM executions");
    let offered = place.number("quickstart.db", "SELECT offered FROM sessions");
    assert_eq!(rows, offered);
    assert_eq!(
        place.number(
            "quickstart.db",
            "SELECT count(*) FROM executions_v WHERE name = 'audit'"
        ),
        320
    );
    let statuses =
        "SELECT group_concat(DISTINCT status) FROM (SELECT status FROM executions_v ORDER BY 1)";
    let expected = "cancelled,error,panicked,skipped,success,timed_out";
    assert_eq!(place.text("quickstart.db", statuses), expected);
    assert_eq!(
        place.text("quickstart.db", "SELECT status FROM sessions"),
        "success"
    );
    let signal = "SELECT DISTINCT error_type FROM executions_v WHERE name = 'door'";
    assert_eq!(place.text("quickstart.db", signal), "signal 9");

    let files = std::fs::read_dir(place.directory.path()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    let history: Vec<_> = names.iter().filter(|name| *name != "house.toml").collect();
    assert_eq!(history, ["quickstart.db"], "one file is the whole history");
    let report = place.run(&["report", "--db", "quickstart.db", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    let runs = report
        .as_array()
        .unwrap()
        .iter()
        .map(|entity| entity["runs"].as_i64().unwrap());
    assert_eq!(runs.sum::<i64>(), rows);
}

#[test]
fn a_hundred_thousand_events_from_a_pipe_are_a_hundred_thousand_rows() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    let mut program = place.program(&["run", "c.toml", "--events", "-", "--db", "many.db"]);
    let program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = program.spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        for number in 0..100_000 {
            writeln!(input, "{{\"topic\":\"t.{}\",\"id\":{number}}}", number % 10).unwrap();
        }
    });
    let said = ended(running);
    feeding.join().unwrap();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(
        place.number("many.db", "SELECT count(*) FROM executions"),
        100_000
    );
    assert_eq!(
        place.number(
            "many.db",
            "SELECT count(DISTINCT trigger_id) FROM executions"
        ),
        100_000
    );
}

#[test]
fn the_event_arrives_on_standard_input() {
    let place = Place::new();
    place.file(
        "c.toml",
        &listener("all", "[\"sh\", \"-c\", \"cat >> got\"]", ""),
    );
    let line = "{\"topic\":\"t\",\"text\":\"ünï\"}";
    place.file("e.ndjson", &format!("{line}\n"));
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let got = std::fs::read_to_string(place.directory.path().join("got")).unwrap();
    assert_eq!(got, format!("{line}\n"));
}

#[test]
fn a_program_that_ignores_a_large_event_is_not_waited_for() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"true\"]", ""));
    let event = format!(
        "{{\"topic\":\"t\",\"text\":\"{}\"}}\n",
        "x".repeat(1_000_000)
    );
    place.file("e.ndjson", &event);
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report[0]["by_status"]["success"], 1, "{report}");
}

#[test]
fn a_foreign_stream_is_read_where_it_keeps_things() {
    let place = Place::new();
    let shape =
        "[events]\ntopic = \"/_SYSTEMD_UNIT\"\nid = \"/__CURSOR\"\norigin = \"/_HOSTNAME\"\n";
    let listener = listener("all", "[\"@noop\"]", "").replace("\"#\"", "\"*.service\"");
    place.file("c.toml", &format!("{shape}{listener}"));
    let lines = "{\"_SYSTEMD_UNIT\":\"cron.service\",\"__CURSOR\":\"s=1\",\"_HOSTNAME\":\"box\"}\n\
                 {\"_SYSTEMD_UNIT\":\"user.slice\"}\n";
    place.file("j.ndjson", lines);
    let said = place.run(&["run", "c.toml", "--events", "j.ndjson", "--db", "j.db"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let row = "SELECT trigger_id || ' ' || trigger_origin FROM executions_v";
    assert_eq!(place.text("j.db", row), "s=1 box");
}

#[test]
fn a_program_past_its_deadline_is_killed_with_its_process_group() {
    let place = Place::new();
    let run = "[\"sh\", \"-c\", \"sleep 300 & echo $! > pid; wait\"]";
    place.file("c.toml", &listener("all", run, "timeout = \"300ms\""));
    place.file("e.ndjson", "{\"topic\":\"t\"}\n");
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson", "--json"]);
    assert!(
        said.out.contains("\"timed_out\": 1"),
        "{}{}",
        said.out,
        said.err
    );
    let pid = std::fs::read_to_string(place.directory.path().join("pid")).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // Gone, or a zombie that whoever adopted it has not collected yet.
    assert!(
        status.is_err() || status.unwrap().contains(") Z "),
        "the grandchild lives"
    );
}

#[test]
fn a_job_that_goes_on_does_not_hold_up_the_end_of_the_events() {
    let place = Place::new();
    let job =
        "[[job]]\napp = \"a\"\nname = \"long\"\nevery = \"50ms\"\nrun = [\"sleep\", \"300\"]\n";
    let listener = listener("slow", "[\"sleep\", \"0.5\"]", "");
    place.file(
        "c.toml",
        &format!("[run]\nshutdown_timeout = \"200ms\"\n{listener}{job}"),
    );
    place.file("e.ndjson", "{\"topic\":\"t\"}\n");
    let said = place.run(&["run", "c.toml", "--events", "e.ndjson"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    // Runs that came while it went on were skipped.
    let statuses = "SELECT group_concat(name || ' ' || status) FROM executions_v \
                    WHERE status <> 'skipped' ORDER BY name";
    assert_eq!(
        place.text("telemetry.db", statuses),
        "slow success,long cancelled"
    );
}

#[test]
fn jobs_run_on_every_kind_of_schedule() {
    let place = Place::new();
    let job = |name: &str, schedule: &str| {
        format!("[[job]]\napp = \"a\"\nname = \"{name}\"\nrun = [\"@noop\"]\n{schedule}\n")
    };
    let jobs = [
        job("every", "every = \"100ms\"\njitter = \"10ms\""),
        job(
            "cron",
            "cron = \"* * * * * *\"\ntime_zone = \"Europe/Berlin\"",
        ),
        job("after", "after = \"100ms\""),
        job("past", "at = \"2020-01-01T00:00:00Z\""),
        job(
            "future",
            "at = \"9000-01-01T00:00:00\"\ntime_zone = \"UTC\"",
        ),
    ];
    place.file("c.toml", &jobs.concat());
    let said = place.run(&["run", "c.toml", "--for", "1500ms"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let warning = "the time of job a[0].past has passed; it will run only if";
    assert!(said.err.contains(warning), "{}", said.err);
    let ran = "SELECT group_concat(DISTINCT name) FROM \
               (SELECT name FROM executions_v WHERE trigger_mode = 'schedule' ORDER BY name)";
    assert_eq!(place.text("telemetry.db", ran), "after,cron,every");
    let once = "SELECT count(*) FROM executions_v WHERE name = 'after'";
    assert_eq!(place.number("telemetry.db", once), 1);
    let known = "SELECT trigger_type || ' ' || trigger_label || ': ' || trigger_detail \
                 FROM scheduled_jobs WHERE name = 'every'";
    let expected = "interval every 100ms: every 100ms, jitter up to 10ms, missed runs: skipped";
    assert_eq!(place.text("telemetry.db", known), expected);
}

#[test]
fn a_database_in_memory_is_gone_afterwards_by_whatever_name() {
    let place = Place::new();
    place.file("c.toml", &listener("all", "[\"@noop\"]", ""));
    place.file("e.ndjson", "{\"topic\":\"t\"}\n");
    for url in [":memory:", "sqlite::memory:"] {
        let said = place.run(&["run", "c.toml", "--events", "e.ndjson", "--db", url]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.err.contains("in memory and is gone"), "{}", said.err);
    }
}

#[test]
fn an_empty_history_says_so() {
    let place = Place::new();
    let job = "[[job]]\napp = \"a\"\nname = \"j\"\nevery = \"1h\"\nrun = [\"true\"]\n";
    place.file("c.toml", job);
    let said = place.run(&["run", "c.toml", "--for", "10ms"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "no executions\n"),
        "{}",
        said.err
    );
    assert_eq!(place.run(&["report"]).out, "no executions\n");
}
