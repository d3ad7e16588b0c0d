//! `executor prune`: deletes old executions or what they said, or says what that would delete.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use command_executor::ports::{Housekeeping as _, PruneRule, PruneSlice};
use command_executor::{Timestamp, Window};
use serde_json::json;

use crate::args::verbs::PruneArgs;
use crate::cmd::looking::Looking;
use crate::config::Settings;
use crate::exit::Failure;
use crate::output::{console, plain, shown};
use crate::wire;

/// The number of rows that one transaction deletes: a process that records waits for no more.
const SLICE: u32 = 1_000;

/// How long executions are kept unless a configuration says otherwise.
const USUALLY: Duration = Duration::from_secs(7 * 86_400);

/// What is there, and what would go.
struct Plan {
    before: Timestamp,
    all: u64,
    to_go: u64,
    bytes: u64,
    /// Only what the executions said is to go.
    lines_only: bool,
}

impl Plan {
    fn rule(&self) -> PruneRule {
        match self.lines_only {
            true => PruneRule::LinesBefore(self.before),
            false => PruneRule::EndedBefore(self.before),
        }
    }

    /// Returns what is to go, in words.
    fn what(&self) -> String {
        let executions = shown::counted(self.to_go, "execution");
        match self.lines_only {
            // How many of them have said something is not known.
            true => "what was said by executions".to_owned(),
            false => executions,
        }
    }
}

pub(crate) async fn prune(args: PruneArgs) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&args.look)?;
    let plan = plan(&looking, &args).await?;
    if args.dry_run || plan.to_go == 0 {
        console::print(told(&looking, &plan)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !agrees(&looking, &plan)? {
        console::say("nothing was deleted");
        return Ok(ExitCode::SUCCESS);
    }
    let deleted = delete(&looking, &plan).await?;
    let (url, is_json) = (looking.url.clone(), looking.json);
    // Its connection would keep the write-ahead log.
    drop(looking);
    let bytes = wire::bytes(&url).await?;
    let text = match is_json {
        true => plain::json_lines([json!({
            "before_us": plan.before.as_micros(),
            "deleted": deleted,
            "lines_only": plan.lines_only,
            "bytes_before": plan.bytes,
            "bytes": bytes,
        })]),
        false => done(&plan, deleted, bytes),
    };
    console::print(text).await?;
    Ok(ExitCode::SUCCESS)
}

fn done(plan: &Plan, deleted: u64, bytes: u64) -> String {
    let executions = shown::counted(deleted, "execution");
    let deleted = match plan.lines_only {
        true => format!("what {executions} said"),
        false => executions,
    };
    let (had, has) = (shown::bytes(plan.bytes), shown::bytes(bytes));
    format!("deleted {deleted}; the database had {had}, and has {has}\n")
}

async fn plan(looking: &Looking, args: &PruneArgs) -> Result<Plan, Failure> {
    let older = args.older.map_or(USUALLY, |older| older.0);
    let before = shown::now().saturating_sub(older);
    let window = Window {
        to: Some(before),
        ..Window::default()
    };
    Ok(Plan {
        before,
        all: looking.history.count(Window::default()).await?,
        to_go: looking.history.count(window).await?,
        bytes: wire::bytes(&looking.url).await?,
        lines_only: args.lines,
    })
}

fn told(looking: &Looking, plan: &Plan) -> String {
    if looking.json {
        return plain::json_lines([json!({
            "before_us": plan.before.as_micros(),
            "executions": plan.all,
            "would_delete": (!plan.lines_only).then_some(plan.to_go),
            "lines_only": plan.lines_only,
            "bytes": plan.bytes,
        })]);
    }
    let (executions, bytes) = (
        shown::counted(plan.all, "execution"),
        shown::bytes(plan.bytes),
    );
    let all = format!("{executions}, {bytes}");
    if plan.to_go == 0 {
        let before = looking.zone.time(plan.before);
        return format!("{all}\nnothing ended before {before}: nothing to delete\n");
    }
    if plan.lines_only {
        return format!(
            "{all}\nwould delete {} that ended before {} ({} in all)\n",
            plan.what(),
            looking.zone.time(plan.before),
            plan.to_go,
        );
    }
    format!(
        "{all}\nwould delete {} that ended before {}\n",
        plan.what(),
        looking.zone.time(plan.before),
    )
}

/// Asks whoever sits at the terminal.
fn agrees(looking: &Looking, plan: &Plan) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::NobodyToAsk);
    }
    console::settle();
    let what = plan.what();
    let before = looking.zone.time(plan.before);
    let mut out = io::stderr();
    let asked = write!(out, "delete {what} that ended before {before}? [y/N] ");
    asked.and_then(|()| out.flush()).map_err(Failure::Output)?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(Failure::Output)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn delete(looking: &Looking, plan: &Plan) -> Result<u64, Failure> {
    let store = wire::store(&looking.url, Settings::default().file_mode).await?;
    let slice = PruneSlice::new(plan.rule(), SLICE);
    let mut deleted = 0;
    loop {
        console::show(match plan.lines_only {
            true => format!("deleted {deleted}"),
            false => format!("deleted {deleted} of {}", plan.to_go),
        });
        match store.prune(slice).await? {
            0 => break,
            count => deleted += count,
        }
    }
    // Nothing is larger than that: the store only gives back what is free.
    let give_back = PruneSlice::new(PruneRule::LargerThan(u64::MAX), 1);
    store.prune(give_back).await?;
    store.close().await?;
    console::show(String::new());
    Ok(deleted)
}
