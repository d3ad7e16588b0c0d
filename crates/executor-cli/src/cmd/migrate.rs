//! `executor migrate`: brings a database of an earlier version up to date.

use std::process::ExitCode;

use serde_json::json;

use crate::args::verbs::MigrateArgs;
use crate::cmd::looking::Looking;
use crate::exit::Failure;
use crate::output::{console, plain, shown};
use crate::wire;

pub(crate) async fn migrate(args: MigrateArgs) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&args.look)?;
    let lacking = match args.dry_run {
        true => wire::pending(&looking.url)?,
        false => wire::bring_up_to_date(&looking.url)?,
    };
    let text = match looking.json {
        true => plain::json_lines([json!({ "migrations": lacking, "applied": !args.dry_run })]),
        false => for_people(&lacking, args.dry_run),
    };
    console::print(text).await?;
    Ok(ExitCode::SUCCESS)
}

fn for_people(lacking: &[String], is_dry: bool) -> String {
    if lacking.is_empty() {
        return "the database is up to date\n".to_owned();
    }
    let count = shown::counted(lacking.len() as u64, "migration");
    let what = if is_dry { "lacks" } else { "got" };
    format!("the database {what} {count}: {}\n", lacking.join(", "))
}
