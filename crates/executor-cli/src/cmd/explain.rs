//! `executor explain`: why something ran or did not run.

use std::process::ExitCode;

use command_executor::diagnosis::{Explanation, Facts, Question, explain as decide};
use serde_json::json;

use crate::args::verbs::ExplainArgs;
use crate::cmd::looking::Looking;
use crate::exit::{CANNOT_TELL, Failure, NO_MATCH};
use crate::output::columns::wrapped;
use crate::output::console;
use crate::output::plain::{self, plain};

pub(crate) async fn explain(looking: &Looking, args: ExplainArgs) -> Result<ExitCode, Failure> {
    let (what, at) = (args.what.what, args.what.when.from);
    let question = Question {
        instance: what.instance,
        ..Question::new(what.app.clone(), what.name.clone(), at)
    };
    // Before the facts: what is stored in between is in both.
    let live = looking.live().await?;
    let mut facts = Facts::read(looking.history.as_ref(), &question).await?;
    facts.live = live.to_vec();
    let explanation = decide(&question, &facts);
    let sentence = explanation.sentence(&plain(&what.to_string()), |at| looking.zone.time(at));
    let text = match looking.json {
        true => plain::json_lines([json!({
            "what": what.to_string(),
            "at_us": at.as_micros(),
            "because": word_of(&explanation),
            "sentence": sentence,
        })]),
        false => wrapped(&format!("{}\n", plain(&sentence))),
    };
    console::print(text).await?;
    Ok(code_of(&explanation))
}

fn code_of(explanation: &Explanation) -> ExitCode {
    match explanation {
        Explanation::CannotTell(_) => ExitCode::from(CANNOT_TELL),
        Explanation::NeverHeardOf => ExitCode::from(NO_MATCH),
        _ => ExitCode::SUCCESS,
    }
}

const fn word_of(explanation: &Explanation) -> &'static str {
    match explanation {
        Explanation::Ran { .. } => "ran",
        Explanation::Running { .. } => "running",
        Explanation::Skipped { .. } => "skipped",
        Explanation::Missed(_) => "missed",
        Explanation::Paused(_) => "paused",
        Explanation::Removed { .. } => "removed",
        Explanation::NotDue { .. } => "not_due",
        Explanation::OnDemand => "on_demand",
        Explanation::NoEvent => "no_event",
        Explanation::NoProcess { .. } => "no_process",
        Explanation::NotRegistered => "not_registered",
        Explanation::NeverHeardOf => "never_heard_of",
        _ => "cannot_tell",
    }
}
