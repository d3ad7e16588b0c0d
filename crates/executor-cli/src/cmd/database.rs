//! Which database is meant where nobody names one.

use std::path::{Path, PathBuf};

use crate::args::DEFAULT_DB;
use crate::config::Config;
use crate::exit::Failure;
use crate::output::console;
use crate::output::plain::plain;
use crate::wire;

/// The database that nobody named: of the environment, or of the configuration at hand.
pub(crate) fn found_database() -> Result<String, Failure> {
    let (url, by) = look_for_database()?;
    if let Some(by) = by {
        let shown = plain(&wire::shown(&url));
        console::say(&format!("using the database `{shown}` (from {by})"));
    }
    Ok(url)
}

fn look_for_database() -> Result<(String, Option<String>), Failure> {
    let of_environment = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    if let Some(url) = of_environment("EXECUTOR_DB") {
        return Ok((url, Some("EXECUTOR_DB".into())));
    }
    let configured = of_environment("EXECUTOR_CONFIG").map(PathBuf::from);
    let here = Path::new("executor.toml");
    let path = configured.or_else(|| here.exists().then(|| here.to_owned()));
    let Some(path) = path else {
        return Ok((DEFAULT_DB.to_owned(), None));
    };
    let config = Config::read(&path).map_err(Failure::Config)?;
    let shown = plain(&path.to_string_lossy());
    let url = config.store.url.map(|url| url.0);
    Ok(match url {
        Some(url) => (url, Some(format!("`{shown}`"))),
        None => (DEFAULT_DB.to_owned(), None),
    })
}
