//! `executor import-crontab`: a configuration with the jobs of a crontab.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use crate::args::verbs::ImportCrontabArgs;
use crate::exit::{Failure, WRONG_CONFIG};
use crate::input::crontab::Crontab;
use crate::output::console::{self, say};
use crate::output::plain::plain;

pub(crate) async fn import_crontab(args: ImportCrontabArgs) -> Result<ExitCode, Failure> {
    let path = args.file.as_path();
    let text = text_of(path).map_err(|source| Failure::Events {
        path: path.to_owned(),
        source,
    })?;
    let home = std::env::var("HOME").ok();
    let read = Crontab::read(&text, args.system, home.as_deref());
    let shown = plain(&path.to_string_lossy());
    for (line, what) in &read.problems {
        say(&format!("{shown}:{line}: {}; left it out", plain(what)));
    }
    console::print(read.configuration(&args.app)).await?;
    Ok(match read.problems.is_empty() && read.jobs() > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(WRONG_CONFIG),
    })
}

fn text_of(path: &Path) -> io::Result<String> {
    if path.as_os_str() != "-" {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
