//! `executor check`: what a configuration would run, and when, without running anything.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use command_executor::{Schedule, Timestamp};
use serde_json::{Value, json};

use crate::args::verbs::CheckArgs;
use crate::config::sources::Source;
use crate::config::surroundings::{Directory, Environment};
use crate::config::{Config, JobConfig, ListenerConfig, Run, Word};
use crate::exit::{Failure, WRONG_CONFIG};
use crate::input::source::Input;
use crate::output::columns::{Columns, Text};
use crate::output::console;
use crate::output::plain::{self, plain};
use crate::output::shown::{self, Zone};

/// The number of planned times that are shown of a job.
const SHOWN: usize = 3;

/// A source, a listener or a job of the configuration.
struct Checked<'c> {
    kind: &'static str,
    what: String,
    when: String,
    next: Vec<Timestamp>,
    /// What runs, if it runs something.
    program: &'c str,
    /// Its program can be found and executed.
    is_found: bool,
    /// It has a schedule, and that plans nothing any more.
    is_past: bool,
}

pub(crate) async fn check(args: CheckArgs) -> Result<ExitCode, Failure> {
    let config = Config::read(&args.config).map_err(Failure::Config)?;
    let now = shown::now();
    let jobs = config.jobs.iter().zip(&config.schedules);
    let sources = config.sources.iter().map(source);
    let checked = sources
        .chain(config.listeners.iter().map(listener))
        .chain(jobs.map(|(it, schedule)| job(it, schedule, now)))
        .chain(on_error(&config))
        .chain(notified(&config));
    let checked: Vec<Checked<'_>> = checked.collect();
    let text = match args.json {
        true => plain::json_lines(checked.iter().map(json_of)),
        false => table(&checked, &Zone::new(args.utc)) + &verdict(&checked),
    };
    console::print(text).await?;
    Ok(match checked.iter().all(|it| it.is_found) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(WRONG_CONFIG),
    })
}

fn listener(listener: &ListenerConfig) -> Checked<'_> {
    Checked {
        kind: "listener",
        what: name_of(&listener.app, listener.name.get_ref()),
        when: format!("topic {}", plain(listener.topic.as_str())),
        next: Vec::new(),
        program: program_of(&listener.run),
        is_found: is_found(&listener.run, &listener.env, listener.cwd.as_ref()),
        is_past: false,
    }
}

fn job<'c>(job: &'c JobConfig, schedule: &Schedule, now: Timestamp) -> Checked<'c> {
    let next: Vec<Timestamp> = schedule.upcoming(now).take(SHOWN).collect();
    Checked {
        kind: "job",
        what: name_of(&job.app, job.name.get_ref()),
        when: label_of(schedule),
        is_past: next.is_empty(),
        next,
        program: program_of(&job.run),
        is_found: is_found(&job.run, &job.env, job.cwd.as_ref()),
    }
}

/// The programs that are told of failures of one listener or job.
fn on_error(config: &Config) -> impl Iterator<Item = Checked<'_>> {
    let of_listeners = config.listeners.iter();
    let of_listeners = of_listeners.map(|it| (&it.app, it.name.get_ref(), it.on_error.as_ref()));
    let of_jobs = config.jobs.iter();
    let of_jobs = of_jobs.map(|it| (&it.app, it.name.get_ref(), it.on_error.as_ref()));
    of_listeners
        .chain(of_jobs)
        .filter_map(|(app, name, run)| Some(telling("on_error", &name_of(app, name), run?)))
}

fn notified(config: &Config) -> impl Iterator<Item = Checked<'_>> {
    let programs = config.notify.programs();
    programs.map(|(occasion, run)| telling("notify", occasion, run))
}

fn name_of(app: &Word, name: &Word) -> String {
    format!("{}/{}", plain(&app.0), plain(&name.0))
}

fn source(source: &Source) -> Checked<'_> {
    let program = match &source.input {
        Input::Program(program) => Some(program),
        _ => None,
    };
    Checked {
        kind: "source",
        what: plain(&source.name),
        when: how_it_reads(&source.input),
        next: Vec::new(),
        program: program.map_or("", |it| &it.argv[0]),
        is_found: can_be_read(&source.input),
        is_past: false,
    }
}

fn how_it_reads(input: &Input) -> String {
    let shown = |path: &Path| plain(&path.to_string_lossy());
    match input {
        Input::Standard => "reads standard input".to_owned(),
        Input::File(path) => format!("reads {}", shown(path)),
        Input::Followed(path) => format!("follows {}", shown(path)),
        Input::Socket(path) => format!("listens on {}", shown(path)),
        Input::Program(_) => "reads its output".to_owned(),
    }
}

/// The longest path of a socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// Whether reading could begin now. A file that is followed may come later.
fn can_be_read(input: &Input) -> bool {
    match input {
        Input::Standard => true,
        Input::File(path) => path.exists() && !path.is_dir(),
        Input::Followed(path) => !path.is_dir(),
        Input::Socket(path) => {
            let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
            let is_free = path
                .symlink_metadata()
                .map_or(true, |it| it.file_type().is_socket());
            is_free
                && path.as_os_str().len() <= SOCKET_PATH_MAX
                && parent.unwrap_or(Path::new(".")).is_dir()
        }
        Input::Program(it) => is_there(&it.argv[0], &it.variables, it.directory.as_deref()),
    }
}

/// A program that tells of something.
fn telling<'c>(kind: &'static str, what: &str, run: &'c Run) -> Checked<'c> {
    Checked {
        kind,
        what: what.to_owned(),
        when: String::new(),
        next: Vec::new(),
        program: program_of(run),
        is_found: is_found(run, &Environment::default(), None),
        is_past: false,
    }
}

fn table(checked: &[Checked<'_>], zone: &Zone) -> String {
    // The later times are dispensable.
    let titles = ["KIND", "WHAT", "WHEN", "NEXT RUN", "THEN", "PROGRAM"];
    let mut columns = Columns::new(titles).dispensable(["KIND", "THEN"]);
    for it in checked {
        columns.row(row(it, zone));
    }
    columns.text()
}

fn row(checked: &Checked<'_>, zone: &Zone) -> [Text; 6] {
    let mut next = checked.next.iter().map(|at| zone.time(*at));
    let first = match checked.is_past {
        true => Some("never: its time has passed".to_owned()),
        false => next.next(),
    };
    let mark = match (checked.is_found, checked.program) {
        (true, _) => "",
        (false, "") => "(cannot be read)",
        (false, _) => " (not found)",
    };
    [
        checked.kind.to_owned().into(),
        checked.what.clone().into(),
        checked.when.clone().into(),
        first.unwrap_or_default().into(),
        next.collect::<Vec<_>>().join(", ").into(),
        format!("{}{mark}", plain(checked.program)).into(),
    ]
}

/// Counts what is wrong, and says what to do about it.
fn verdict(checked: &[Checked<'_>]) -> String {
    let mut text = String::new();
    let count = |is_one: fn(&Checked<'_>) -> bool| {
        let those = checked.iter().filter(|it| is_one(it));
        those.count() as u64
    };
    let (missing, past) = (count(|it| !it.is_found), count(|it| it.is_past));
    if missing > 0 {
        let programs = shown::counted(missing, "program");
        let them = if missing == 1 { "it" } else { "them" };
        text.push_str(&format!(
            "{programs} cannot be executed: install {them}, or give the full path\n"
        ));
    }
    if past > 0 {
        let jobs = shown::counted(past, "job");
        let their = if past == 1 { "its" } else { "their" };
        text.push_str(&format!(
            "{jobs} will not run because {their} time has passed (unless persistent and missed)\n"
        ));
    }
    if missing + past == 0 {
        text.push_str("no problems found\n");
    }
    text
}

fn label_of(schedule: &Schedule) -> String {
    plain(&schedule.text().label.unwrap_or_default())
}

fn program_of(run: &Run) -> &str {
    match run {
        Run::Program(argv) => &argv[0],
        Run::Noop => "@noop",
        Run::Panic => "@panic",
    }
}

/// Whether a program would be found, as `run` looks for it: by its path, or in its own PATH; and its directory.
fn is_found(run: &Run, variables: &Environment, directory: Option<&Directory>) -> bool {
    let Run::Program(argv) = run else {
        return true;
    };
    let directory = directory.map(|Directory(path)| path.as_path());
    is_there(&argv[0], &variables.0, directory)
}

fn is_there(program: &str, variables: &BTreeMap<String, String>, directory: Option<&Path>) -> bool {
    if directory.is_some_and(|path| !path.is_dir()) {
        return false;
    }
    if program.contains('/') {
        return is_executable(Path::new(program));
    }
    // As the system looks where nobody says.
    let own = variables.get("PATH").map(OsString::from);
    let path = own
        .or_else(|| env::var_os("PATH"))
        .unwrap_or_else(|| "/bin:/usr/bin".into());
    let candidates: Vec<PathBuf> = env::split_paths(&path)
        .map(|dir| dir.join(program))
        .collect();
    candidates.iter().any(|candidate| is_executable(candidate))
}

/// Whether this user may execute it.
fn is_executable(path: &Path) -> bool {
    let may = rustix::fs::accessat(
        rustix::fs::CWD,
        path,
        rustix::fs::Access::EXEC_OK,
        rustix::fs::AtFlags::EACCESS,
    );
    may.is_ok() && path.metadata().is_ok_and(|it| it.is_file())
}

fn json_of(checked: &Checked<'_>) -> Value {
    let next: Vec<i64> = checked.next.iter().map(|at| at.as_micros()).collect();
    json!({
        "kind": checked.kind,
        "what": checked.what,
        "when": checked.when,
        "next_us": next,
        "program": checked.program,
        "is_found": checked.is_found,
        "is_past": checked.is_past,
    })
}
