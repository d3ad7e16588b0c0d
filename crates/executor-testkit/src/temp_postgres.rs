//! Databases on a PostgreSQL server that is there for the tests of one program and ends with it, however that ends.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use telemetry_store::{PostgresOptions, PostgresStore, ServerError};
use tempfile::TempDir;

/// The account that the server runs as where the tests run as root, which it refuses.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Where the programs of a server may be, besides the PATH; the newest version first.
const DIRECTORIES: &str = "/usr/lib/postgresql";

/// The longest time that a server takes to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server, again and again if it ends, until standard input does, which ends with the process of the tests,
/// whatever signal that gets; then removes everything. While there is a file `paused`, the server stays down.
const UNTIL_THE_END: &str = "trap '' HUP INT TERM; \
    (until [ -e \"$DIRECTORY/ending\" ]; do \
        if [ -e \"$DIRECTORY/paused\" ]; then sleep 0.05; else \"$@\"; fi; done) & loop=$!; \
    read -r _; touch \"$DIRECTORY/ending\"; \
    while kill -0 $loop 2>/dev/null; do \
        kill -INT $(head -n 1 \"$DIRECTORY/data/postmaster.pid\" 2>/dev/null) 2>/dev/null; sleep 0.05; done; \
    rm -rf \"$DIRECTORY\"";

/// Names a server that is there already, for the tests that share one. Its user must be allowed to create databases; a
/// password comes from libpq's own variables or files.
const SHARED: &str = "TEST_POSTGRES_URL";

/// A server that listens on a socket in a directory of its own, or one that was there before.
pub struct TempPostgres {
    directory: PathBuf,
    programs: PathBuf,
    at: At,
    /// What the names of its databases begin with.
    prefix: String,
    databases: AtomicU32,
    /// What stores keep of this machine. It belongs to whoever runs the tests.
    state: TempDir,
    /// Closing it ends the server.
    input: Option<ChildStdin>,
    /// `None` if it is not ours to end.
    server: Option<Child>,
}

/// Where a server is.
struct At {
    host: String,
    port: String,
    user: String,
}

impl At {
    /// Reads `postgres://USER@HOST:PORT/…`, of which all but the host may be missing.
    fn of(url: &str) -> Option<Self> {
        let rest = url.split_once("://")?.1;
        let authority = rest.split('/').next()?;
        let (user, place) = authority
            .rsplit_once('@')
            .unwrap_or(("postgres", authority));
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "5432"));
        Some(Self {
            host: host.replace("%2F", "/"),
            port: port.to_owned(),
            user: user.split(':').next()?.to_owned(),
        })
    }

    fn arguments(&self) -> [&str; 6] {
        let Self { host, port, user } = self;
        ["--host", host, "--port", port, "--username", user]
    }
}

impl TempPostgres {
    /// Returns the server that the tests of this process share: the one that the variable `TEST_POSTGRES_URL` names, or
    /// one that is started. `None` where its programs are not installed.
    ///
    /// # Panics
    ///
    /// The server does not start, or the variable names none.
    pub fn shared() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<TempPostgres>> = OnceLock::new();
        let server = SERVER.get_or_init(|| match std::env::var(SHARED) {
            Ok(url) => Some(Self::there(&url)),
            Err(_) => Self::start(),
        });
        server.as_ref()
    }

    /// Returns one that is shared, too, and certainly ours: for tests that need its socket. `None` where its programs are
    /// not installed.
    ///
    /// # Panics
    ///
    /// The server does not start.
    pub fn with_socket() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<TempPostgres>> = OnceLock::new();
        match std::env::var_os(SHARED) {
            Some(_) => SERVER.get_or_init(Self::start).as_ref(),
            None => Self::shared(),
        }
    }

    /// A server that was there before, whose databases stay when the tests end.
    fn there(url: &str) -> Self {
        let at = At::of(url).unwrap_or_else(|| panic!("{SHARED} is no address of a server"));
        let programs = programs_with(&["psql"]).expect("psql is installed");
        let begun = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let server = Self {
            directory: PathBuf::from(&at.host),
            programs,
            at,
            // Other processes may be testing at it, too.
            prefix: format!("test_{}_{}", std::process::id(), begun.as_secs()),
            databases: AtomicU32::new(0),
            state: tempfile::tempdir().expect("a temporary directory"),
            input: None,
            server: None,
        };
        server.wait();
        server
    }

    /// Starts a server. `None` where its programs are not installed.
    ///
    /// # Panics
    ///
    /// The server does not start.
    pub fn start() -> Option<Self> {
        // What a test has written need not outlive the machine.
        Self::start_with(&["-F"])
    }

    /// Starts a server with more arguments, such as `["-c", "wal_level=replica"]`; without `-F` it keeps what it has
    /// acknowledged. `None` where its programs are not installed.
    ///
    /// # Panics
    ///
    /// The server does not start.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let place = Place::new(programs()?);
        let made = place
            .command(&place.programs.join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--pgdata"])
            .arg(place.data())
            .output();
        succeeded("initdb", made);
        Some(place.launch(arguments))
    }

    /// Starts a standby of this server, which follows it until it is promoted.
    ///
    /// # Panics
    ///
    /// The standby does not start.
    pub fn standby(&self) -> Self {
        let place = Place::new(self.programs.clone());
        let copied = place
            .command(&place.programs.join("pg_basebackup"))
            .args([
                "--username=postgres",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ])
            .arg("--host")
            .arg(&self.directory)
            .arg("--pgdata")
            .arg(place.data())
            .output();
        succeeded("pg_basebackup", copied);
        place.launch(&[])
    }

    fn wait(&self) {
        let begun = Instant::now();
        while !self.asks("SELECT 1", "postgres") {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(
                begun.elapsed() < PATIENCE,
                "the server does not start: {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a script with `psql`, which may have its own commands too.
    ///
    /// # Errors
    ///
    /// What `psql` says.
    pub fn run(&self, script: &str, database: &str) -> Result<(), io::Error> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), script)?;
        let done = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(self.at.arguments())
            .args(["--dbname", database])
            .arg("--file")
            .arg(file.path())
            .stdout(Stdio::null())
            .output()?;
        match done.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&done.stderr).into_owned(),
            )),
        }
    }

    /// Runs a statement with `psql`, and returns whether it worked.
    pub fn asks(&self, statement: &str, database: &str) -> bool {
        self.ask(statement, database).is_ok()
    }

    /// Returns what a statement answers, column by column and row by row as `psql` writes it.
    ///
    /// # Errors
    ///
    /// What `psql` says.
    pub fn ask(&self, statement: &str, database: &str) -> Result<String, io::Error> {
        let answer = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(self.at.arguments())
            .args(["--dbname", database])
            .args(["--command", statement])
            .output()?;
        match answer.status.success() {
            true => Ok(String::from_utf8_lossy(&answer.stdout)
                .trim_end()
                .to_owned()),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&answer.stderr).into_owned(),
            )),
        }
    }

    /// Waits until a statement answers this.
    ///
    /// # Panics
    ///
    /// It does not for a minute, or the server refuses it.
    pub fn wait_for(&self, statement: &str, database: &str, expected: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.ask(statement, database).expect("the server answers");
            if answer == expected {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{statement}: {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Creates an empty database and returns its name.
    ///
    /// # Panics
    ///
    /// The server refuses it.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", self.prefix);
        let made = self.ask(&format!("CREATE DATABASE {name}"), "postgres");
        made.expect("a database");
        name
    }

    /// Returns the address of a database.
    pub fn url(&self, database: &str) -> String {
        let At { host, port, user } = &self.at;
        let host = host.replace('/', "%2F");
        // The usual port is left out, so that addresses look as people write them.
        let port = if port == "5432" {
            String::new()
        } else {
            format!(":{port}")
        };
        format!("postgres://{user}@{host}{port}/{database}")
    }

    /// Returns the directory in which the server's socket is.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the account that the server runs as, where the tests run as root.
    ///
    /// # Panics
    ///
    /// There is none.
    pub fn account(&self) -> Option<(u32, u32)> {
        is_root().then(|| user().expect("an account to run a server as"))
    }

    /// Returns the path of one of the server's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Opens a store on a database. The state of this machine is beside the server.
    ///
    /// # Errors
    ///
    /// Those of [`PostgresStore::open_with`].
    ///
    /// # Cancel safety
    ///
    /// That of [`PostgresStore::open_with`].
    pub async fn open(&self, database: &str) -> Result<PostgresStore, ServerError> {
        let mut options = PostgresOptions::default();
        options.state_dir = Some(self.state_dir(database));
        PostgresStore::open_with(&self.url(database), options).await
    }

    /// Returns the directory that [`open`](Self::open) keeps the state of this machine in.
    pub fn state_dir(&self, database: &str) -> PathBuf {
        self.state.path().join(database)
    }

    /// Ends the server at once, as a crash does, and keeps it down until it goes on.
    ///
    /// # Panics
    ///
    /// The server is not running.
    pub fn crash(&self) {
        fs::write(self.directory.join("paused"), "").expect("a file");
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid"));
        let pid = pid.expect("the server is running");
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        let killed = Command::new("kill").args(["-QUIT", &pid]).status();
        assert!(killed.is_ok_and(|it| it.success()), "no process {pid}");
        while self.asks("SELECT 1", "postgres") {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the server again, and waits until it answers.
    ///
    /// # Panics
    ///
    /// It does not.
    pub fn go_on(&self) {
        let _ = fs::remove_file(self.directory.join("paused"));
        self.wait();
    }

    /// Ends all connections to a database, as a server does that is restarted.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    pub fn cut(&self, database: &str) {
        let cut = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        );
        self.ask(&cut, "postgres").expect("the server answers");
    }
}

/// A directory for a server, and the account that it runs as.
struct Place {
    directory: PathBuf,
    programs: PathBuf,
    user: Option<(u32, u32)>,
}

impl Place {
    fn new(programs: PathBuf) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory").keep();
        let user = is_root().then(|| user().expect("an account to run a server as"));
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&directory, Some(uid), Some(gid)).expect("chown");
        }
        Self {
            directory,
            programs,
            user,
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts a server with the data that is there.
    fn launch(self, arguments: &[&str]) -> TempPostgres {
        let mut server = self
            .command(Path::new("sh"))
            .process_group(0)
            .env("DIRECTORY", &self.directory)
            .args(["-c", UNTIL_THE_END, "sh"])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(&self.directory)
            .args(["-h", "", "-c", "max_connections=50"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.directory.join("log")).expect("a log"))
            .spawn()
            .expect("the server starts");
        let temp = TempPostgres {
            at: At {
                host: self.directory.display().to_string(),
                port: "5432".into(),
                user: "postgres".into(),
            },
            directory: self.directory,
            programs: self.programs,
            prefix: "test".into(),
            databases: AtomicU32::new(0),
            state: tempfile::tempdir().expect("a temporary directory"),
            input: server.stdin.take(),
            server: Some(server),
        };
        temp.wait();
        temp
    }
}

fn succeeded(program: &str, done: io::Result<std::process::Output>) {
    let done = done.expect("it runs");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {told}");
}

impl Drop for TempPostgres {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Some(server) = &mut self.server {
            let _ = server.wait();
        }
    }
}

/// The directory of the newest server's programs.
fn programs() -> Option<PathBuf> {
    programs_with(&["initdb", "postgres", "psql"])
}

/// The first directory with all of these.
fn programs_with(programs: &[&str]) -> Option<PathBuf> {
    let installed = fs::read_dir(DIRECTORIES).into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut installed: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin"))))
        .collect();
    installed.sort();
    let newest = installed.into_iter().rev().map(|(_, path)| path);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = newest.chain(std::env::split_paths(&path));
    let is_whole = |path: &PathBuf| programs.iter().all(|it| path.join(it).is_file());
    all.into_iter().find(is_whole)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The ids of an account that the server may run as.
fn user() -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &&str| {
        let line = accounts
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    USERS.iter().find_map(of)
}
