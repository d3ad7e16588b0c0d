//! `executor explain`: why something ran or did not run.

use std::path::Path;
use std::process::ExitCode;

use command_executor::LiveState;
use command_executor::diagnosis::{Explanation, Facts, Question, explain as decide};
use command_executor::inspect::MachineSpools;
use serde_json::json;

use crate::args::verbs::{ExplainArgs, What};
use crate::cmd::looking::Looking;
use crate::exit::{CANNOT_TELL, Failure, NO_MATCH};
use crate::output::console;
use crate::output::plain::{self, plain};
use crate::wire;

pub(crate) async fn explain(args: ExplainArgs) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&args.look)?;
    let (what, at) = (args.what.what, args.what.when.from);
    let question = Question {
        instance: what.instance,
        ..Question::new(what.app.clone(), what.name.clone(), at)
    };
    let live = match wire::spools(&looking.url)? {
        Some(spools) if Path::new(&spools).exists() => {
            MachineSpools::new(spools).sessions().await?
        }
        _ => Vec::new(),
    };
    let mut facts = Facts::read(looking.history.as_ref(), &question).await?;
    facts.live = live;
    let explanation = decide(&question, &facts);
    let sentence = explanation.sentence(&plain(&named(&what)), |at| looking.zone.time(at));
    let text = match looking.json {
        true => {
            let value = json!({
                "what": named(&what),
                "at_us": at.as_micros(),
                "because": word_of(&explanation),
                "sentence": sentence,
            });
            format!("{}\n", plain::json(&value, false))
        }
        false => format!("{}\n", plain(&sentence)),
    };
    console::print(text).await?;
    Ok(match explanation {
        Explanation::CannotTell(_) => ExitCode::from(CANNOT_TELL),
        Explanation::NeverHeardOf => ExitCode::from(NO_MATCH),
        _ => ExitCode::SUCCESS,
    })
}

fn named(what: &What) -> String {
    match what.instance {
        None => format!("{}/{}", what.app, what.name),
        Some(instance) => format!("{}#{instance}/{}", what.app, what.name),
    }
}

const fn word_of(explanation: &Explanation) -> &'static str {
    match explanation {
        Explanation::Ran { .. } => "ran",
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
