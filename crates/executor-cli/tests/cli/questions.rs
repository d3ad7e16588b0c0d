//! The ten everyday questions, each answered by one command.

use std::fs;
use std::path::Path;

use crate::fixture::{House, house};

/// A question, the command of the manual, and the parts of its answer.
type Question = (&'static str, &'static str, Vec<String>);

fn answer(house: &House, command: &str) -> String {
    let mut words: Vec<&str> = command.split(' ').collect();
    words.extend(["--db", &house.db]);
    let said = house.place.run(&words);
    assert!(matches!(said.code, Some(0 | 6)), "{command}: {}", said.err);
    said.out + &said.err
}

/// The short id of the last execution with this status.
fn id(house: &House, status: &str) -> String {
    let said = house
        .place
        .run(&["ls", "--status", status, "--json", "--db", &house.db]);
    let line = said.out.lines().next().unwrap().to_owned();
    let row: serde_json::Value = serde_json::from_str(&line).unwrap();
    row["short_id"].as_str().unwrap().to_owned()
}

fn strings(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|&part| part.to_owned()).collect()
}

fn questions(house: &House) -> Vec<Question> {
    let failed = id(house, "error");
    vec![
        (
            "what failed in the last hours, and what did it say?",
            "logs --failed --since 1h",
            strings(&[
                "house/backup  error",
                "err   rsync: lost the cellar",
                "the pump is dry",
            ]),
        ),
        (
            "is it slower than last week?",
            "report --compare 7d",
            strings(&[
                "6m 00s  3m 00s  +100 %  house/backup",
                "same   8.0ms   8.0ms    same  lights/hall",
            ]),
        ),
        (
            "why did it not run?",
            "explain house/backup@AT",
            strings(&["house/backup did not run: the machine slept; 3 runs were missed"]),
        ),
        (
            "what was running when the process died?",
            "ls --status interrupted",
            strings(&["house/backup  interrupted  ≥ 2m 00s", "1 execution"]),
        ),
        (
            "is anything missing?",
            "audit",
            strings(&[
                "incomplete  471 stored · 33 pruned since · 12 given up",
                "12  overflow",
            ]),
        ),
        (
            "everything about one execution, and what ran alongside it",
            "show 6f2a91c04e",
            vec![
                failed,
                "error     exit status 12: connection closed".into(),
                "last ok ".into(),
                "err   rsync: lost the cellar".into(),
            ],
        ),
        (
            "what ran at the same time?",
            "timeline 6f2a91c04e",
            strings(&["house/backup", "EEEEE", "error 5m 00s"]),
        ),
        (
            "how large is it, and what would pruning remove?",
            "prune --dry-run",
            strings(&[
                "438 executions, ",
                "would delete 205 executions that ended before",
            ]),
        ),
        (
            "what is running now, what comes next, and what crashed last?",
            "status",
            strings(&[
                "running    nothing",
                "next       house/backup",
                "interrupted: house/backup",
                "3 planned runs missed",
            ]),
        ),
        (
            "which errors are frequent?",
            "errors --since 1d",
            strings(&[
                "exit status 12: the pump is dry",
                "connection closed",
                "2 failures in 2 groups",
            ]),
        ),
    ]
}

/// The manual's command, on this history: with its ids and times.
fn asked(house: &House, command: &str) -> String {
    let asleep = house.now.as_micros() / 1_000_000 - 3 * 86_400;
    let asleep = jiff::Timestamp::from_second(asleep).unwrap().to_string();
    command
        .replace("--since 1h", "--since 3h")
        .replace("6f2a91c04e", &id(house, "error"))
        .replace("AT", &asleep)
}

#[test]
fn i01_each_of_the_ten_questions_is_answered_by_one_command() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manual = fs::read_to_string(root.join("docs/cli.md")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let house = house();
    for (_, command, _) in questions(&house) {
        let shown = format!("executor {}", command.split('@').next().unwrap());
        assert!(manual.contains(&shown), "docs/cli.md: {shown}");
        let verb = command.split(' ').next().unwrap();
        assert!(
            readme.contains(&format!("executor {verb} ")),
            "README.md: {verb}"
        );
    }
    each_is_answered(&house);
}

pub(crate) fn each_is_answered(house: &House) {
    for (question, command, parts) in questions(house) {
        let asked = asked(house, command);
        let answer = answer(house, &asked);
        for part in parts {
            assert!(
                answer.contains(&part),
                "{question}
{asked}: {part}
{answer}"
            );
        }
    }
}

#[test]
fn i01_timers_names_the_question_that_explain_answers() {
    let house = house();
    let timers = answer(&house, "timers");
    let (_, what) = timers.split_once("`executor explain \"").unwrap();
    let (what, _) = what.split_once('"').unwrap();
    let said = house.place.run(&["explain", what, "--db", &house.db]);
    assert_eq!(said.code, Some(0), "{what}: {}", said.err);
    assert!(
        said.out.contains("the machine slept; 3 runs were missed"),
        "{what}: {}",
        said.out
    );
}
