//! `executor run CONFIG --now APP/NAME`: runs one job once.

use std::pin::pin;
use std::process::ExitCode;

use command_executor::{ExecutionResult, Schedule, ShutdownReport, Status, StoredExecution};

use serde_json::json;

use super::register;
use super::signals::Signals;
use crate::args::verbs::{Look, What};
use crate::cmd::logs::{heading, lines_of};
use crate::cmd::looking::Looking;
use crate::config::{Config, JobConfig};
use crate::exit::{CUT_OFF, Failure, LOST, NOT_SUCCESSFUL, with_causes};
use crate::output::{console, plain, shown};
use crate::wire;

/// Runs the job beside the process that follows its schedule, if there is one: it changes nothing about that.
pub(super) async fn now(
    config: &Config,
    url: &str,
    what: &What,
    json: bool,
    mut signals: Signals,
) -> Result<ExitCode, Failure> {
    let (job, schedule) = job_of(config, what)?;
    let settings = register::settings(config, url)?;
    let starting = async {
        let executor = register::service(config, settings, url).await?;
        let handle = register::job_on_demand(&executor, job, schedule.clone()).await?;
        Ok::<_, Failure>((executor, handle))
    };
    let (executor, handle) = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Ok(cut_off()),
    };
    let mut run = pin!(executor.execute(handle.run_now()));
    let stop = || executor.shutdown(config.run.shutdown_timeout.0);
    let (ran, stopped) = tokio::select! {
        ran = &mut run => tokio::select! {
            stopped = stop() => (ran, stopped),
            () = signals.next() => return Ok(cut_off()),
        },
        // The stop lets it end, or ends it and records that.
        () = signals.next() => tokio::select! {
            (ran, stopped) = async { tokio::join!(run, stop()) } => (ran, stopped),
            () = signals.next() => return Ok(cut_off()),
        },
    };
    let Ok(ran) = ran else {
        return Ok(cut_off());
    };
    console::print(told(url, json, &ran).await?).await?;
    Ok(code_of(&ran, &stopped))
}

fn cut_off() -> ExitCode {
    console::say("executor: cut off by a signal");
    ExitCode::from(CUT_OFF)
}

fn job_of<'c>(config: &'c Config, what: &What) -> Result<(&'c JobConfig, &'c Schedule), Failure> {
    let mut jobs = config.jobs.iter().zip(&config.schedules);
    let found = jobs.find(|(job, _)| {
        let is_it = job.app.0 == what.app && job.name.get_ref().0 == what.name;
        is_it && what.instance.is_none_or(|instance| instance == 0)
    });
    found.ok_or_else(|| {
        let jobs = config.jobs.iter();
        let names = jobs.map(|job| format!("{}/{}", job.app.0, job.name.get_ref().0));
        Failure::NoSuchJob {
            what: plain::plain(&what.to_string()),
            jobs: names.map(|name| plain::plain(&name)).collect(),
        }
    })
}

/// The execution as the history has it, with what it said; or only how it ended.
async fn told(url: &str, json: bool, ran: &ExecutionResult) -> Result<String, Failure> {
    let looking = Looking::new(&Look {
        db: Some(url.to_owned()),
        utc: false,
        json,
    })?;
    Ok(match recorded(&looking, ran).await? {
        Some(stored) if json => plain::json_lines([shown::json_of(&stored)]),
        Some(stored) => {
            let heading = heading(&looking, &stored);
            format!("{heading}\n{}", lines_of(&looking, &stored, None))
        }
        None if json => plain::json_lines([json!({
            "id": ran.execution_id.to_string(),
            "status": ran.status().as_str(),
        })]),
        None => format!("{}\n", ran.status().as_str()),
    })
}

async fn recorded(
    looking: &Looking,
    ran: &ExecutionResult,
) -> Result<Option<StoredExecution>, Failure> {
    if wire::is_in_memory(&looking.url)? {
        return Ok(None);
    }
    let found = looking.history.execution(ran.execution_id).await;
    // It ran, whatever becomes of the question.
    Ok(found.unwrap_or_else(|error| {
        console::say(&with_causes(&error));
        None
    }))
}

fn code_of(ran: &ExecutionResult, stopped: &ShutdownReport) -> ExitCode {
    match ran.status() {
        Status::Success if stopped.ledger.total_dropped() > 0 => ExitCode::from(LOST),
        Status::Success => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_SUCCESSFUL),
    }
}
