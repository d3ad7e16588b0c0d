//! Clauses E1 and E6 as they are meant: processes under load die at random points, in every way that a
//! process can die, and two oracles outside say what must be there afterwards.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use command_executor::diagnosis::Verdict;
use command_executor::{CommandExecutor, Config, SpoolPlace, SqliteStore};
use fastrand::Rng;

use crate::audit::audited;

const TORTURED: &str = env!("CARGO_BIN_EXE_tortured");

/// Loads in executions a second.
const RATES: [u64; 4] = [50, 500, 5_000, 50_000];

pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Where one victim lives.
pub(crate) struct Cell {
    dir: tempfile::TempDir,
}

impl Cell {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, rate: u64, how: &str) -> Command {
        let mut command = Command::new(TORTURED);
        command
            .args(["history.db", "spool", "begun", "returned"].map(|name| self.path(name)))
            .arg(rate.to_string())
            .arg(how)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Lets a victim live for so long after it was ready, then kills it.
    pub(crate) fn kill_after(&self, rate: u64, life: Duration) {
        let mut victim = self.command(rate, "kill").spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(victim.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        std::thread::sleep(life);
        victim.kill().unwrap();
        victim.wait().unwrap();
    }

    /// The next start. Returns how long it took to be ready.
    pub(crate) fn recover(&self) -> Duration {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            let database = self.path("history.db");
            let store = SqliteStore::open(database.to_str().unwrap()).await.unwrap();
            let config = Config::default().with_spool(SpoolPlace::At(self.path("spool")));
            let builder = CommandExecutor::builder(store).config(config);
            let executor = builder.start().await.unwrap();
            let ready = begun.elapsed();
            executor.flush().await.unwrap();
            let report = executor.shutdown(Duration::from_secs(30)).await;
            assert!(report.ledger.is_balanced(), "{}", report.ledger);
            assert_eq!(report.ledger.total_dropped(), 0, "{}", report.ledger);
            ready
        })
    }

    /// Execution ids and statuses of all rows, each execution once.
    fn rows(&self) -> HashMap<String, i64> {
        let database = rusqlite::Connection::open(self.path("history.db")).unwrap();
        let mut rows = database
            .prepare("SELECT lower(hex(execution_id)), status FROM executions")
            .unwrap();
        let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
        let all: Vec<(String, i64)> = rows.unwrap().map(Result::unwrap).collect();
        let count = all.len();
        let rows: HashMap<String, i64> = all.into_iter().collect();
        assert_eq!(rows.len(), count, "an execution has two rows");
        rows
    }

    /// What the oracles demand: returned with its outcome, begun with that or as interrupted, and the
    /// ledger of every session balanced.
    pub(crate) fn judge(&self) -> (usize, usize) {
        const INTERRUPTED: i64 = 6;
        let rows = self.rows();
        let (begun, returned) = (ids(&self.path("begun")), ids(&self.path("returned")));
        for id in &returned {
            assert_eq!(rows.get(id), Some(&0), "{id} had returned");
        }
        for id in begun.difference(&returned) {
            let status = rows.get(id);
            let is_told = matches!(status, Some(&0 | &INTERRUPTED));
            assert!(is_told, "{id} had begun: {status:?}");
        }
        let database = rusqlite::Connection::open(self.path("history.db")).unwrap();
        let unbalanced = "SELECT count(*) FROM sessions WHERE offered + recovered != stored + waiting \
             + spooled + filtered + dropped_overflow + dropped_exhausted + dropped_constraint \
             + dropped_unstorable + dropped_damaged + dropped_shutdown OR status = 'running'";
        let unbalanced: i64 = database
            .query_row(unbalanced, [], |row| row.get(0))
            .unwrap();
        assert_eq!(unbalanced, 0, "sessions that do not balance, or go on");
        let audit = audited(&self.path("history.db"), &[]);
        assert_eq!(audit.verdict, Verdict::Complete, "{audit:#?}");
        let interrupted = rows.values().filter(|status| **status == INTERRUPTED);
        (rows.len(), interrupted.count())
    }
}

/// Lines of an oracle, as the table writes ids; the last may be half of one.
fn ids(oracle: &Path) -> HashSet<String> {
    let text = std::fs::read_to_string(oracle).unwrap_or_default();
    let lines = text.lines().filter(|line| line.len() == 36);
    lines.map(|line| line.replace('-', "")).collect()
}

#[test]
fn e01_a_process_that_is_killed_at_any_moment_loses_nothing_that_had_returned() {
    let kills = setting("KILLS").unwrap_or(24);
    let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed} KILLS={kills}");
    let mut rng = Rng::with_seed(seed);
    let (mut rows, mut interrupted, mut slowest) = (0, 0, Duration::ZERO);
    let mut cell = Cell::new();
    for kill in 0..kills {
        let rate = RATES[rng.usize(..RATES.len())];
        let life = Duration::from_micros(rng.u64(0..250_000));
        cell.kill_after(rate, life);
        // Now and then two have died before anybody looks.
        if rng.u8(..4) == 0 {
            continue;
        }
        let ready = cell.recover();
        assert!(
            ready < Duration::from_secs(2),
            "kill {kill}: ready after {ready:?}"
        );
        slowest = slowest.max(ready);
        if kill % 10 == 9 {
            let (all, cut) = cell.judge();
            (rows, interrupted) = (rows + all, interrupted + cut);
            cell = Cell::new();
        }
    }
    cell.recover();
    let (all, cut) = cell.judge();
    println!(
        "{kills} kills: {} rows, {} interrupted, ready after {slowest:?} at most",
        rows + all,
        interrupted + cut
    );
}

#[test]
fn e01_no_other_way_to_die_loses_anything_either() {
    for how in ["abort", "exit", "overflow"] {
        let cell = Cell::new();
        let status = cell.command(5_000, how).status().unwrap();
        assert!(!status.success(), "{how}");
        cell.recover();
        let (rows, interrupted) = cell.judge();
        assert!(rows > 400, "{how}: {rows} rows");
        assert!(
            interrupted > 0,
            "{how}: the one that ended it all was running"
        );
    }
}

/// The kernel's own kill, where a control group may be made.
#[test]
fn e01_the_kernels_out_of_memory_kill_loses_nothing() {
    let Some(group) = Group::of_64_mib() else {
        println!("skipped: no control group with a limit of memory can be made here");
        return;
    };
    let cell = Cell::new();
    let mut command = Command::new("sh");
    let join = format!(
        "echo $$ > {}/cgroup.procs && exec \"$@\"",
        group.path.display()
    );
    let victim = cell.command(5_000, "memory");
    command
        .args(["-c", &join, "sh"])
        .arg(TORTURED)
        .args(victim.get_args());
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    cell.recover();
    let (rows, _) = cell.judge();
    assert!(rows > 400, "{rows} rows");
}

struct Group {
    path: PathBuf,
}

impl Group {
    fn of_64_mib() -> Option<Self> {
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"] {
            let path = Path::new(root).join(format!("torture-{}", std::process::id()));
            if std::fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self { path };
            for (file, limit) in [
                ("memory.max", "67108864"),
                ("memory.limit_in_bytes", "67108864"),
            ] {
                let file = group.path.join(file);
                if file.exists() && std::fs::write(file, limit).is_ok() {
                    let _ = std::fs::write(group.path.join("memory.swap.max"), "0");
                    return Some(group);
                }
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}
