//! `executor check`: what a configuration would run, and when, without running anything.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use command_executor::{Schedule, Timestamp};
use serde_json::{Value, json};

use crate::args::verbs::CheckArgs;
use crate::config::{Config, Run};
use crate::exit::{Failure, WRONG_CONFIG};
use crate::output::columns::Columns;
use crate::output::console;
use crate::output::plain::{self, plain};
use crate::output::shown::{self, Zone};

/// The number of planned times that are shown of a job.
const SHOWN: usize = 3;

/// A listener or a job of the configuration.
struct Checked<'c> {
    kind: &'static str,
    what: String,
    when: String,
    next: Vec<Timestamp>,
    run: &'c Run,
    /// Its program can be found and executed.
    is_found: bool,
}

pub(crate) async fn check(args: CheckArgs) -> Result<ExitCode, Failure> {
    let config = Config::read(&args.config).map_err(Failure::Config)?;
    let now = shown::now();
    let listeners = config.listeners.iter().map(|listener| Checked {
        kind: "listener",
        what: format!(
            "{}/{}",
            plain(&listener.app.0),
            plain(&listener.name.get_ref().0)
        ),
        when: format!("topic {}", plain(listener.topic.as_str())),
        next: Vec::new(),
        run: &listener.run,
        is_found: is_found(&listener.run),
    });
    let jobs = config.jobs.iter().zip(&config.schedules);
    let jobs = jobs.map(|(job, schedule)| Checked {
        kind: "job",
        what: format!("{}/{}", plain(&job.app.0), plain(&job.name.get_ref().0)),
        when: label_of(schedule),
        next: schedule.upcoming(now).take(SHOWN).collect(),
        run: &job.run,
        is_found: is_found(&job.run),
    });
    let checked: Vec<Checked<'_>> = listeners.chain(jobs).collect();
    let text = match args.json {
        true => plain::json_lines(checked.iter().map(json_of)),
        false => table(&checked, &Zone::new(args.utc)),
    };
    console::print(text).await?;
    Ok(match checked.iter().all(|it| it.is_found) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(WRONG_CONFIG),
    })
}

fn table(checked: &[Checked<'_>], zone: &Zone) -> String {
    let mut columns =
        Columns::new(["KIND", "WHAT", "WHEN", "NEXT RUNS", "PROGRAM"]).dispensable(["KIND"]);
    for it in checked {
        let next: Vec<String> = it.next.iter().map(|at| zone.time(*at)).collect();
        let program = program_of(it.run);
        let mark = if it.is_found { "" } else { " (not found)" };
        columns.row([
            it.kind.to_owned().into(),
            it.what.clone().into(),
            it.when.clone().into(),
            next.join(", ").into(),
            format!("{}{mark}", plain(program)).into(),
        ]);
    }
    let mut text = columns.text();
    let missing = checked.iter().filter(|it| !it.is_found).count();
    text.push_str(&match missing {
        0 => "nothing is wrong\n".to_owned(),
        _ => format!(
            "{} cannot be executed: install, or write the whole path\n",
            shown::counted(missing as u64, "program")
        ),
    });
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

/// Whether a program would be found, as `run` looks for it: by its path, or in PATH.
fn is_found(run: &Run) -> bool {
    let Run::Program(argv) = run else {
        return true;
    };
    let program = Path::new(&argv[0]);
    if argv[0].contains('/') {
        return is_executable(program);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = env::split_paths(&path)
        .map(|dir| dir.join(program))
        .collect();
    candidates.iter().any(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

fn json_of(checked: &Checked<'_>) -> Value {
    let next: Vec<i64> = checked.next.iter().map(|at| at.as_micros()).collect();
    json!({
        "kind": checked.kind,
        "what": checked.what,
        "when": checked.when,
        "next_us": next,
        "program": program_of(checked.run),
        "is_found": checked.is_found,
    })
}
