//! `executor report`: how listeners and jobs did, all of them or one, also beside an earlier time.

mod table;

mod figures;

mod compared;

mod one;

use std::process::ExitCode;
use std::time::Duration;

use command_executor::{Summary, Window};

use crate::args::verbs::ReportArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::wrapped;
use crate::output::{console, plain, shown};

/// What the report of one listener or job covers, unless it is told.
const OF_ONE: Duration = Duration::from_secs(7 * 86_400);

pub(crate) async fn report(looking: &Looking, args: ReportArgs) -> Result<ExitCode, Failure> {
    let window = window_of(&args)?;
    if let Some(shift) = args.compare {
        return compared::compared(looking, &args, window, shift.0).await;
    }
    if args.what.is_some() {
        return one::one(looking, &args, window).await;
    }
    let summaries = figures::summaries(looking, &args, window.clone()).await?;
    print(&summaries, looking.json).await?;
    if !looking.json {
        let missing = looking.missing(window, |it| args.is_about(it)).await?;
        let line = missing.map(|missing| wrapped(&format!("{missing}\n")));
        console::print(line.unwrap_or_default()).await?;
    }
    Ok(match args.is_narrowed() {
        // An empty database has a report, too.
        false => ExitCode::SUCCESS,
        true => matched(!summaries.is_empty()),
    })
}

/// The time that is asked for. What is compared reaches as far back as what it is compared with, and one listener or
/// job a week.
fn window_of(args: &ReportArgs) -> Result<Window, Failure> {
    let (since, until) = (args.since.map(|it| it.from), args.until.map(|it| it.to));
    if since
        .zip(until)
        .is_some_and(|(since, until)| since >= until)
    {
        return Err(Failure::EmptyWindow);
    }
    let length = args.compare.map(|shift| shift.0);
    let length = length.or(args.what.as_ref().map(|_| OF_ONE));
    let end = until.unwrap_or_else(shown::now);
    let ago = length.map(|length| end.saturating_sub(length));
    Ok(Window {
        from: since.or(ago),
        to: until,
        session: None,
    })
}

/// Prints summaries on standard output.
pub(crate) async fn print(summaries: &[Summary], as_json: bool) -> Result<(), Failure> {
    let text = if as_json {
        format!("{}\n", plain::json(&table::json(summaries), true))
    } else if summaries.is_empty() {
        "no executions\n".to_owned()
    } else {
        table::for_people(summaries)
    };
    console::print(text).await
}
