//! `executor completions` and `executor man`: made from the command line's own description.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::Args;
use crate::args::verbs::CompletionsArgs;
use crate::exit::Failure;
use crate::output::console;

pub(crate) async fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let (mut command, mut script) = (Args::command(), Vec::new());
    clap_complete::generate(args.shell, &mut command, "executor", &mut script);
    print(&script).await
}

/// The page has every verb, after the program itself.
pub(crate) async fn man() -> Result<ExitCode, Failure> {
    let mut command = Args::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(Failure::Output)?;
    for verb in command.get_subcommands() {
        let title = format!("executor-{}", verb.get_name());
        let man = clap_mangen::Man::new(verb.clone()).title(title);
        man.render(&mut page).map_err(Failure::Output)?;
    }
    print(&page).await
}

async fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    console::print(String::from_utf8_lossy(text).into_owned()).await?;
    Ok(ExitCode::SUCCESS)
}
