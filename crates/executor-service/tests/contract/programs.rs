//! Clause A19: programs as handlers. Real processes in real time.

use std::path::Path;
use std::time::{Duration, Instant};

use executor_core::process::{self, CommandLine};
use executor_core::registration::Overlap;
use executor_core::{Event, ExecutionRecord, Status, Timestamp};
use executor_service::ListenerHandle;
use tokio::time::timeout;

use crate::support::{Fixture, event};

/// A shell script in a directory of its own: shells are at hand everywhere, and do what they are told.
fn script(text: &str) -> CommandLine {
    CommandLine::new("sh").args(["-c", text])
}

async fn listener(fixture: &Fixture, name: &str, line: CommandLine) -> ListenerHandle {
    fixture.listener(name, line).await
}

async fn record_of(line: CommandLine, event: Event) -> ExecutionRecord {
    let fixture = Fixture::new().await;
    let listener = listener(&fixture, "program", line).await;
    let command = listener.invoke(event);
    fixture.executor.execute(command).await.unwrap();
    fixture.only_record().await
}

async fn report_of(line: CommandLine) -> String {
    let failure = record_of(line, event()).await.failure.unwrap();
    failure.report.clone().unwrap()
}

async fn content(path: &Path) -> String {
    let begun = Instant::now();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(begun.elapsed() < Duration::from_secs(20), "no {path:?}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Not even as a zombie.
fn is_gone(pid: &str) -> bool {
    !Path::new("/proc").join(pid).exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_the_event_arrives_on_standard_input_and_status_zero_is_success() {
    let reads = || script("read line; test \"$line\" = 'hall is lit'");
    let text = event().with_payload(String::from("hall is lit"));
    let record = record_of(reads(), text).await;
    assert_eq!(
        (record.status, record.exit_code),
        (Status::Success, Some(0))
    );
    let made = reads().input(|event| format!("{} is lit", &event.topic[7..]).into_bytes());
    assert_eq!(record_of(made, event()).await.status, Status::Success);

    let fixture = Fixture::new().await;
    let job = fixture.executor.job("lights", "nothing on input");
    let job = job.handler(script("test -z \"$(cat)\""));
    let job = job.register().await.unwrap();
    let result = fixture.executor.execute(job.run_now()).await.unwrap();
    assert_eq!(result.status(), Status::Success);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_a_program_knows_its_execution_its_topic_and_when_it_was_due() {
    const TELL: &str =
        "echo \"${EXECUTOR_EXECUTION_ID-none} ${EXECUTOR_TOPIC-none} ${EXECUTOR_DUE_AT-none}\"";
    let said = |record: &ExecutionRecord| {
        let lines = record.lines.clone().unwrap();
        let told = lines.iter().next().unwrap().text.to_string();
        told.replace(&record.execution_id.to_string(), "ID")
    };
    let topic = event().topic.to_string();
    let record = record_of(script(TELL), event()).await;
    assert_eq!(said(&record), format!("ID {topic} none"));

    let fixture = Fixture::new().await;
    let job = fixture.executor.job("lights", "due").handler(script(TELL));
    let job = job.register().await.unwrap();
    let due = Timestamp::from_micros(1_767_225_600_000_000);
    fixture
        .executor
        .execute(job.run_scheduled(due))
        .await
        .unwrap();
    assert_eq!(said(&fixture.only_record().await), format!("ID none {due}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_exit_status_signal_and_no_such_program_are_told_apart() {
    let ends = [
        (
            script("exit 3"),
            Some(3),
            "exit status 3",
            "`sh` exited with status 3",
        ),
        (
            script("kill -9 $$"),
            None,
            "signal 9",
            "`sh` was ended by signal 9",
        ),
        (
            CommandLine::new("no-such-program"),
            None,
            "spawn",
            "cannot start `no-such-program`: No such file or directory (os error 2)",
        ),
        (
            script("true").current_dir("/no/such/place"),
            None,
            "spawn",
            "cannot start `sh` in /no/such/place: No such file or directory (os error 2)",
        ),
    ];
    for (line, exit_code, error_type, message) in ends {
        let record = record_of(line, event()).await;
        assert_eq!(record.status, Status::Error);
        assert_eq!(record.exit_code, exit_code, "{message}");
        let failure = record.failure.unwrap();
        assert_eq!(
            (&*failure.error_type, &*failure.message),
            (error_type, message)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_arguments_are_passed_as_they_are_and_the_report_ends_with_what_was_said_last() {
    let strange = "$(touch here); `ls` \"*\" 'x' é";
    let line = script("echo out; printf 'first\\n%s\\n' \"$1 $LAMP\" >&2; exit 1")
        .args(["sh", strange])
        .env("LAMP", "lit");
    let report = report_of(line).await;
    let expected = format!("standard output:\nout\nstandard error:\nfirst\n{strange} lit");
    assert!(report.ends_with(&expected), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_however_much_a_program_writes_only_the_end_is_kept() {
    let much = "i=0; while [ $i -lt 20000 ]; do echo 'a line that nobody reads'; i=$((i+1)); done";
    let line = script(&format!("{much}; {much} >&2; echo the end >&2; exit 1"));
    let report = report_of(line).await;
    assert!(report.chars().count() <= 8_192);
    // A backtrace may stand before it; what is left of the output then is its end.
    let kept = report.matches("a line that nobody reads").count();
    assert!(kept < 400, "{kept}");
    assert!(report.ends_with("\nthe end"), "{report}");

    // Ten lines of 25 bytes, and not what a report has room for.
    let line = script(&format!("{much}; exit 1")).capture_max_bytes(250);
    let report = report_of(line).await;
    let kept = report.matches("a line that nobody reads").count();
    assert_eq!(kept, 10, "{report}");
    assert!(report.contains("499750 bytes before this"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_a_program_is_not_waited_for_by_what_it_leaves_unread_or_behind() {
    let large = event().with_payload(vec![b'x'; 4 << 20]);
    assert_eq!(
        record_of(script("exit 0"), large).await.status,
        Status::Success
    );
    // What goes on in the background holds the outputs open.
    let begun = Instant::now();
    let record = record_of(script("sleep 10 & exit 0"), event()).await;
    assert_eq!(record.status, Status::Success);
    assert!(begun.elapsed() < Duration::from_secs(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_past_its_deadline_the_whole_group_is_asked_to_terminate() {
    let place = tempfile::tempdir().unwrap();
    let waits = "trap 'echo asked > said; kill $!; exit' TERM; echo $$ > pid; sleep 300 & wait";
    let fixture = Fixture::new().await;
    let line = script(waits).current_dir(place.path());
    let builder = fixture.builder("slow").timeout(Duration::from_millis(300));
    let listener = builder.handler(line).register().await.unwrap();
    let begun = Instant::now();
    assert_eq!(fixture.run(&listener).await.status(), Status::TimedOut);
    let pid = content(&place.path().join("pid")).await;
    assert_eq!(content(&place.path().join("said")).await, "asked");
    process::all_ended().await;
    assert!(begun.elapsed() < process::TERMINATION_GRACE + Duration::from_secs(20));
    assert!(is_gone(&pid), "no zombie either");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_a_program_may_speak_in_its_grace_before_it_cleans_up() {
    let place = tempfile::tempdir().unwrap();
    let speaks = "trap 'echo goodbye; echo goodbye >&2; echo clean > said; kill $!; exit' TERM; \
                  echo $$ > pid; sleep 300 & wait";
    let fixture = Fixture::new().await;
    let line = script(speaks).current_dir(place.path());
    let builder = fixture
        .builder("speaks")
        .timeout(Duration::from_millis(300));
    let listener = builder.handler(line).register().await.unwrap();
    assert_eq!(fixture.run(&listener).await.status(), Status::TimedOut);
    assert_eq!(content(&place.path().join("said")).await, "clean");
    process::all_ended().await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_children_are_asked_to_terminate_like_their_parent() {
    let place = tempfile::tempdir().unwrap();
    // The parent dies of the signal and tells nobody. The child must not speak of it: nobody reads any more.
    let waits = "sh -c 'trap \"echo asked > said; exit\" TERM; echo $$ > child; \
                 while :; do sleep 0.01; done' 2>/dev/null & wait";
    let fixture = Fixture::new().await;
    let line = script(waits).current_dir(place.path());
    let listener = listener(&fixture, "parent", line).await;
    let child = place.path().join("child");
    tokio::select! {
        _ = fixture.run(&listener) => unreachable!("it waits"),
        _ = content(&child) => {}
    }
    process::all_ended().await;
    let said = std::fs::read_to_string(place.path().join("said"));
    assert_eq!(said.unwrap_or_default(), "asked\n");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_who_does_not_terminate_is_killed_two_seconds_later_with_all_its_children() {
    let place = tempfile::tempdir().unwrap();
    let deaf = "trap '' TERM; \
                sh -c 'trap \"\" TERM; echo $$ > child; sleep 300; sleep 300' & \
                echo $$ > pid; sleep 300; sleep 300";
    let fixture = Fixture::new().await;
    let line = script(deaf).current_dir(place.path());
    let listener = listener(&fixture, "deaf", line).await;
    let dropped = async {
        let run = fixture.run(&listener);
        let mut run = std::pin::pin!(run);
        let (pid, child) = (place.path().join("pid"), place.path().join("child"));
        tokio::select! {
            _ = &mut run => unreachable!("it sleeps"),
            both = async { (content(&pid).await, content(&child).await) } => both,
        }
    };
    let (pid, child) = timeout(Duration::from_secs(30), dropped).await.unwrap();
    let begun = Instant::now();
    assert!(!is_gone(&pid));
    process::all_ended().await;
    assert!(
        begun.elapsed() >= Duration::from_millis(1_900),
        "two seconds"
    );
    assert!(is_gone(&pid));
    // It was killed too; whoever adopts it collects it in its own time.
    let is_over = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
        Ok(status) => status.contains(") Z ") || status.contains(") X "),
        Err(_) => true,
    };
    let begun = Instant::now();
    while !is_over() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the child lives");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(fixture.only_record().await.status, Status::Cancelled);
}

/// Takes a lock, and takes its time to give it back when it is asked to terminate. 42 says that it met another.
fn locking(directory: &Path, cleanup: &str) -> CommandLine {
    let text = format!(
        "mkdir lock 2>/dev/null || exit 42; trap '{cleanup}; rmdir lock; exit 0' TERM; while :; do sleep 0.02; done"
    );
    script(&text).current_dir(directory)
}

async fn met_another(fixture: &Fixture) -> bool {
    let records = fixture.stored().await;
    let failures = records.iter().filter_map(|record| record.failure.as_ref());
    let mut types = failures.map(|failure| failure.error_type.clone());
    types.any(|error_type| error_type == "exit status 42")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_a_program_keeps_its_place_until_its_group_has_ended() {
    for overlap in [Overlap::Restart, Overlap::Queued, Overlap::Single] {
        let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
        let line = locking(directory.path(), "sleep 0.3");
        let builder = fixture.builder("locks").overlap(overlap).overlap_limit(20);
        let builder = builder.timeout(Duration::from_millis(150));
        let locks = builder.handler(line).register().await.unwrap();
        let submit = || fixture.executor.submit(locks.invoke(event())).unwrap();
        let mut submitted = Vec::new();
        for _ in 0..6 {
            submitted.push(submit());
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        for one in submitted {
            one.await;
        }
        assert!(!met_another(&fixture).await, "{overlap:?}");
        assert!(
            !directory.path().join("lock").exists(),
            "{overlap:?}: the last one was waited for"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_a_program_that_was_dropped_keeps_its_place_too_and_one_that_will_not_end_is_killed() {
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    let deaf = script("trap '' TERM; echo $$ > pid; while :; do sleep 0.02; done");
    let deaf = deaf.current_dir(directory.path());
    let locks = fixture.listener("deaf", deaf).await;
    let running = fixture.executor.execute(locks.invoke(event()));
    let pid_file = directory.path().join("pid");
    let pid = tokio::select! {
        pid = content(&pid_file) => pid,
        _ = running => panic!("it goes on"),
    };
    // Dropped. Its place is not free until it is killed.
    let begun = Instant::now();
    assert_eq!(fixture.run(&locks).await.status(), Status::Skipped);
    while fixture.run(&locks).await.status() == Status::Skipped {
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert!(!is_gone(&pid) || begun.elapsed() >= process::TERMINATION_GRACE);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if is_gone(&pid) {
            break;
        }
    }
    assert!(begun.elapsed() >= process::TERMINATION_GRACE);
    fixture.executor.shutdown(Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_a_shutdown_waits_for_the_groups_that_it_ended_and_kills_them_at_its_deadline() {
    for (cleanup, within, is_polite) in [("sleep 0.3", 3_000, true), ("sleep 60", 400, false)] {
        let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
        let line = locking(directory.path(), cleanup);
        let locks = fixture
            .builder("locks")
            .no_timeout()
            .handler(line)
            .register()
            .await
            .unwrap();
        fixture.executor.submit(locks.invoke(event())).unwrap();
        let lock = directory.path().join("lock");
        while !lock.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let begun = Instant::now();
        let report = fixture
            .executor
            .shutdown(Duration::from_millis(within))
            .await;
        assert_eq!(report.cancelled, 1);
        assert_eq!(!lock.exists(), is_polite, "{cleanup}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

/// What a program leaves behind on purpose holds no place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_children_of_a_program_that_exited_by_itself_hold_no_place() {
    let fixture = Fixture::new().await;
    let leaves = fixture
        .listener("leaves", script("(sleep 2 >/dev/null 2>&1 &); exit 0"))
        .await;
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(fixture.run(&leaves).await.status(), Status::Success);
    }
    fixture.executor.shutdown(Duration::from_secs(5)).await;
    assert!(
        begun.elapsed() < Duration::from_millis(1_900),
        "nothing waits for them"
    );
}
