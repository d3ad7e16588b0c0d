//! Clause A22 under kills: what an interrupted execution said is there after the next start, but for its last second.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use command_executor::lines::LineKind;
use command_executor::{Filter, History, PageRequest, SqliteHistory, Status, StoredExecution};
use fastrand::Rng;

use crate::torture::{Cell, setting};

const TALKER: &str = env!("CARGO_BIN_EXE_talker");

fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros()
}

/// Lets a talker live for so long after it was ready, and returns the time at which it was killed, in microseconds.
fn kill_after(cell: &Cell, life: Duration) -> u128 {
    let mut victim = Command::new(TALKER)
        .args(["history.db", "spool", "said", "printed"].map(|name| cell.path(name)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(victim.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    std::thread::sleep(life);
    let at = now();
    victim.kill().unwrap();
    victim.wait().unwrap();
    at
}

async fn all(database: &Path) -> Vec<StoredExecution> {
    let history = SqliteHistory::new(database.to_str().unwrap()).unwrap();
    let (mut all, mut request) = (Vec::new(), PageRequest::first(1_000));
    loop {
        let page = history
            .executions(Filter::default(), request.clone())
            .await
            .unwrap();
        for execution in page.items {
            // Only one by one do they come with their lines.
            let id = execution.record.execution_id;
            all.push(history.execution(id).await.unwrap().unwrap());
        }
        match page.next {
            Some(next) => request = request.following(next),
            None => return all,
        }
    }
}

/// What the oracle says that an execution said: numbers and times.
fn said(oracle: &Path) -> HashMap<String, Vec<(u64, u128)>> {
    let text = std::fs::read_to_string(oracle).unwrap_or_default();
    let mut said: HashMap<String, Vec<_>> = HashMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        if let [id, number, at] = parts[..] {
            let (Ok(number), Ok(at)) = (number.parse(), at.parse()) else {
                continue;
            };
            said.entry(id.to_owned()).or_default().push((number, at));
        }
    }
    said
}

/// Checks one execution against the oracle; returns how many of its lines were found.
fn judge(
    execution: &StoredExecution,
    said: &HashMap<String, Vec<(u64, u128)>>,
    killed_at: u128,
) -> usize {
    let record = &execution.record;
    let (id, name) = (record.execution_id.to_string(), &record.subject.entity.name);
    let speaker = if name.starts_with("program") {
        name.clone()
    } else {
        id
    };
    let mut found = Vec::new();
    let mut left_out = false;
    for line in record.lines.iter().flat_map(|lines| lines.iter()) {
        if line.kind == LineKind::LeftOut {
            left_out = true;
            continue;
        }
        let mut words = line.text.split(' ');
        assert_eq!(words.next(), Some(&*speaker), "said by another than {name}");
        found.extend(words.next().and_then(|number| number.parse::<u64>().ok()));
    }
    assert!(found.is_sorted(), "{name}: {found:?}");
    let owed = said.get(&speaker).into_iter().flatten();
    let owed: Vec<u64> = owed
        .filter(|(_, at)| at + 1_000_000 <= killed_at)
        .map(|(number, _)| *number)
        .collect();
    if let Some(last) = owed.last() {
        let message = || {
            format!(
                "{name} {}: {} of {} lines, {found:?}",
                record.status.as_str(),
                found.len(),
                owed.len()
            )
        };
        assert!(found.iter().any(|number| number >= last), "{}", message());
        // In the middle lines may be left out, but then that is said.
        let missing = owed.iter().filter(|number| !found.contains(number)).count();
        assert!(missing == 0 || left_out, "{missing} missing: {}", message());
    }
    found.len()
}

#[test]
fn a22_what_an_interrupted_execution_said_is_there_but_for_its_last_second() {
    let kills = setting("KILLS").map_or(2, |kills| kills.div_ceil(12));
    let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed} kills={kills}");
    let mut rng = Rng::with_seed(seed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut interrupted, mut lines) = (0, 0);
    for _ in 0..kills {
        let cell = Cell::new();
        let killed_at = kill_after(&cell, Duration::from_millis(rng.u64(1_000..3_000)));
        cell.recover();
        let said = said(&cell.path("said"));
        for execution in runtime.block_on(all(&cell.path("history.db"))) {
            if execution.record.status == Status::Interrupted {
                interrupted += 1;
                lines += judge(&execution, &said, killed_at);
            } else {
                // What had ended has all, or says what is left out.
                judge(&execution, &said, u128::MAX);
            }
        }
    }
    println!("{kills} kills: {interrupted} interrupted, {lines} lines of theirs");
    assert!(interrupted >= kills * 20 && lines > 100);
}
