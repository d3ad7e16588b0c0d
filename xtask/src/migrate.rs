//! Migrates databases and creates new migrations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use telemetry_store::migrate::Migrator;

use crate::shell::root;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The database.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "telemetry.db",
        global = true
    )]
    database_url: String,
    /// Revert the first migration too, which drops every table.
    #[arg(long, global = true)]
    yes: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Apply what is pending (the default).
    Up,
    /// Revert the newest migration.
    Down,
    /// Revert the newest migration and apply it again.
    Redo,
    /// Say which migrations the database has.
    Status,
    /// Print the database's schema as SQL; for `:memory:`, the schema that the migrations make.
    Dump,
    /// Make an empty migration with today's date.
    New {
        /// Its name, in snake case.
        name: String,
        /// Where to make it.
        #[arg(long, default_value_os_t = root().join("migrations/sqlite"))]
        directory: PathBuf,
    },
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let action = args.action.unwrap_or(Action::Up);
    if let Action::New { name, directory } = action {
        return new(&name, &directory);
    }
    let url = args.database_url;
    let opened = match action {
        Action::Up => Migrator::open(&url),
        _ => Migrator::open_existing(&url),
    };
    let mut migrator = opened.with_context(|| format!("cannot open `{url}`"))?;
    let reverts = matches!(action, Action::Down | Action::Redo);
    if reverts && !args.yes && applied(&mut migrator)? == 1 {
        bail!(
            "reverting the first migration drops every table of `{url}`; say --yes if you mean it"
        );
    }
    match action {
        Action::Up => up(&mut migrator),
        Action::Down => down(&mut migrator).map(drop),
        Action::Redo => {
            down(&mut migrator).and_then(|any| if any { up(&mut migrator) } else { Ok(()) })
        }
        Action::Status => status(&mut migrator),
        Action::Dump => dump(&mut migrator, url == ":memory:"),
        Action::New { .. } => unreachable!("it returned above"),
    }
}

fn up(migrator: &mut Migrator) -> anyhow::Result<()> {
    let applied = migrator.up().map_err(|error| anyhow!(error))?;
    for name in &applied {
        println!("applied   {name}");
    }
    if applied.is_empty() {
        println!("nothing to apply");
    }
    Ok(())
}

fn down(migrator: &mut Migrator) -> anyhow::Result<bool> {
    let reverted = migrator.down().map_err(|error| anyhow!(error))?;
    match &reverted {
        Some(name) => println!("reverted  {name}"),
        None => println!("nothing to revert"),
    }
    Ok(reverted.is_some())
}

fn applied(migrator: &mut Migrator) -> anyhow::Result<usize> {
    let all = migrator.status().map_err(|error| anyhow!(error))?;
    Ok(all.iter().filter(|migration| migration.applied).count())
}

fn status(migrator: &mut Migrator) -> anyhow::Result<()> {
    for migration in migrator.status().map_err(|error| anyhow!(error))? {
        let word = match (migration.applied, migration.known) {
            (true, true) => "applied",
            (true, false) => "unknown",
            (false, _) => "pending",
        };
        println!("{word:8}  {}", migration.name);
    }
    Ok(())
}

fn dump(migrator: &mut Migrator, is_in_memory: bool) -> anyhow::Result<()> {
    if is_in_memory {
        migrator.up().map_err(|error| anyhow!(error))?;
    }
    print!("{}", migrator.dump().map_err(|error| anyhow!(error))?);
    Ok(())
}

fn new(name: &str, directory: &Path) -> anyhow::Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        bail!("`{name}` is not in snake case: use lower-case letters, digits and underscores");
    }
    let today = Command::new("date")
        .arg("-u")
        .arg("+%Y-%m-%d")
        .output()
        .context("cannot run `date`")?;
    let today = String::from_utf8(today.stdout)?.trim().to_owned();
    let taken = fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&today))
        .count();
    let made = directory.join(format!("{today}-{:06}_{name}", taken + 1));
    fs::create_dir(&made).with_context(|| format!("cannot make {}", made.display()))?;
    fs::write(made.join("up.sql"), "-- What changes, and why.\n")?;
    fs::write(made.join("down.sql"), "-- The way back, every row kept.\n")?;
    println!("made {}", made.display());
    Ok(())
}
