//! Clause H5 as it is meant: four processes record while the server crashes and they are killed, and oracles outside say
//! what must be there afterwards.
//!
//! SECONDS, RATE (executions a second of each), CRASH_EVERY and KILL_EVERY (seconds) make it longer and harder.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use command_executor::diagnosis::{self, Verdict};
use command_executor::{
    CommandExecutor, Config, History, PostgresHistory, PostgresOptions, PostgresStore, Progress,
    SpoolPlace, Window,
};
use executor_testkit::TempPostgres;
use rustix::process::{Pid, Signal, kill_process};

/// The processes at once.
const RECORDERS: usize = 4;

fn setting(name: &str, usual: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The executions a second of each recorder.
pub(crate) fn rate() -> u64 {
    setting("RATE", 200)
}

/// How long things go wrong, and how often.
pub(crate) struct Storm {
    lasts: Duration,
    crash_every: Duration,
    kill_every: Duration,
}

impl Storm {
    /// As short as a usual test has to be, unless the environment wants more.
    pub(crate) fn usual() -> Self {
        let seconds = |name, usual| Duration::from_secs(setting(name, usual).max(1));
        Self {
            lasts: seconds("SECONDS", 8),
            crash_every: seconds("CRASH_EVERY", 3),
            kill_every: seconds("KILL_EVERY", 2),
        }
    }

    /// With one crash, in the middle.
    pub(crate) fn once(self) -> Self {
        let crash_every = self.lasts.mul_f64(0.6);
        Self {
            crash_every,
            ..self
        }
    }

    /// Kills one recorder after the other, and lets whatever they depend on crash, which is told how often it has. Lasts
    /// longer if a slow machine has not had all crashes until then. Returns the numbers of crashes and kills.
    pub(crate) fn rage(&self, rig: &mut Rig, mut crash: impl FnMut(u32)) -> (u32, u32) {
        let begun = Instant::now();
        let all = (self.lasts.as_secs_f64() / self.crash_every.as_secs_f64()) as u32;
        let (mut crashes, mut kills) = (0, 0);
        while begun.elapsed() < self.lasts || crashes < all {
            std::thread::sleep(Duration::from_millis(100));
            if begun.elapsed() > self.crash_every * (crashes + 1) {
                crash(crashes);
                crashes += 1;
            }
            if begun.elapsed() > self.kill_every * (kills + 1) {
                let place = kills as usize % RECORDERS;
                rig.kill(place);
                rig.start(place);
                kills += 1;
            }
        }
        (crashes, kills)
    }
}

/// Four processes with a spool each, and what they tell.
pub(crate) struct Rig {
    directory: tempfile::TempDir,
    url: String,
    rate: u64,
    recorders: Vec<Option<Child>>,
}

impl Rig {
    pub(crate) fn new(url: &str, rate: u64) -> Self {
        let mut rig = Self {
            directory: tempfile::tempdir().unwrap(),
            url: url.to_owned(),
            rate,
            recorders: (0..RECORDERS).map(|_| None).collect(),
        };
        (0..RECORDERS).for_each(|place| rig.start(place));
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spool(&self, place: usize) -> PathBuf {
        self.path(&format!("spool_{place}"))
    }

    pub(crate) fn start(&mut self, place: usize) {
        let tortured = Command::new(env!("CARGO_BIN_EXE_tortured"))
            .arg(&self.url)
            .arg(self.spool(place))
            .args([self.path("begun"), self.path("returned")])
            .args([&self.rate.to_string(), "kill"])
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("STATE_DIRECTORY")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        self.recorders[place] = Some(tortured.unwrap());
    }

    pub(crate) fn kill(&mut self, place: usize) {
        let mut recorder = self.recorders[place].take().unwrap();
        recorder.kill().unwrap();
        recorder.wait().unwrap();
    }

    /// Stops all in order, and returns what each says at last.
    pub(crate) fn stop(&mut self) -> Vec<String> {
        let recorders = self.recorders.iter_mut().filter_map(Option::take);
        let mut recorders: Vec<Child> = recorders.collect();
        for recorder in &recorders {
            kill_process(Pid::from_child(recorder), Signal::TERM).unwrap();
        }
        let last = |recorder: &mut Child| {
            let out = BufReader::new(recorder.stdout.take().unwrap());
            let last = out.lines().map_while(Result::ok).last();
            recorder.wait().unwrap();
            last.unwrap_or_default()
        };
        recorders.iter_mut().map(last).collect()
    }

    /// The next start of each stores what is left.
    pub(crate) async fn recover(&self) {
        for place in 0..RECORDERS {
            let mut options = PostgresOptions::default();
            let name = PostgresHistory::new(&self.url)
                .unwrap()
                .name_on_this_machine();
            let state = format!("state/command-executor/{name}.sessions");
            options.state_dir = Some(self.path(&state));
            let store = PostgresStore::open_with(&self.url, options).await.unwrap();
            let config = Config::default().with_spool(SpoolPlace::At(self.spool(place)));
            let builder = CommandExecutor::builder(store).config(config);
            let executor = builder.start().await.unwrap();
            executor.flush().await.unwrap();
            let report = executor.shutdown(Duration::from_secs(30)).await;
            assert!(report.ledger.is_balanced(), "{}", report.ledger);
            assert_eq!(report.ledger.total_dropped(), 0, "{}", report.ledger);
        }
    }

    /// What the oracles demand: what had returned is there with its outcome, what had begun is there with that or as
    /// interrupted, each once, and all sessions have ended and balance. Returns the number of rows.
    pub(crate) async fn judge(&self, server: &TempPostgres, database: &str) -> usize {
        let all = "SELECT execution_id || ' ' || status FROM executor.executions";
        let all = server.ask(all, database).unwrap();
        let rows: HashMap<&str, &str> = all.lines().filter_map(|it| it.split_once(' ')).collect();
        assert_eq!(rows.len(), all.lines().count(), "an execution has two rows");
        let (begun, returned) = (ids(&self.path("begun")), ids(&self.path("returned")));
        assert!(!returned.is_empty());
        let missing = returned.iter().filter(|id| rows.get(&***id) != Some(&"0"));
        let missing: Vec<_> = missing.map(|id| (id, rows.get(&**id))).collect();
        assert!(
            missing.is_empty(),
            "{} of {}: {:?}",
            missing.len(),
            returned.len(),
            &missing[..1]
        );
        for id in begun.difference(&returned) {
            let status = rows.get(&**id);
            assert!(
                matches!(status, Some(&("0" | "6"))),
                "{id} had begun: {status:?}"
            );
        }
        let unended = "SELECT count(*) FROM executor.sessions WHERE status = 'running' OR ledger_state IS NULL";
        assert_eq!(server.ask(unended, database).unwrap(), "0");
        let history = PostgresHistory::new(&server.url(database)).unwrap();
        let (window, progress) = (Window::default(), Progress::ignored());
        let evidence = history.evidence(window.clone(), progress).await.unwrap();
        let audit = diagnosis::audit(&evidence, &[], &window);
        assert_eq!(audit.verdict, Verdict::Complete, "{audit:#?}");
        rows.len()
    }
}

/// None of them outlives a test that fails.
impl Drop for Rig {
    fn drop(&mut self) {
        for recorder in self.recorders.iter_mut().flatten() {
            let _ = recorder.kill();
            let _ = recorder.wait();
        }
    }
}

/// Lines of an oracle; the last may be half of one.
fn ids(oracle: &Path) -> HashSet<String> {
    let text = std::fs::read_to_string(oracle).unwrap_or_default();
    let lines = text.lines().filter(|line| line.len() == 36);
    lines.map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_four_recorders_lose_nothing_while_the_server_crashes_and_they_are_killed() {
    // What it has acknowledged it keeps.
    let Some(server) = TempPostgres::start_with(&[]) else {
        return;
    };
    let database = server.database();
    let mut rig = Rig::new(&server.url(&database), rate());
    let (crashes, kills) = Storm::usual().rage(&mut rig, |_| {
        server.crash();
        server.go_on();
    });
    for told in rig.stop() {
        println!("{told}");
    }
    rig.recover().await;
    let rows = rig.judge(&server, &database).await;
    println!("{rows} rows after {crashes} crashes of the server and {kills} kills");
}
