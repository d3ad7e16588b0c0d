//! Migrates databases and creates new migrations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::shell::root;

use self::target::Target;

mod target;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The database: a file, or postgres://….
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
        /// Where to make it, such as migrations/postgres.
        #[arg(long, default_value_os_t = root().join("migrations/sqlite"))]
        directory: PathBuf,
    },
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let action = args.action.unwrap_or(Action::Up);
    if let Action::New { name, directory } = action {
        return new(&name, &directory);
    }
    let (url, is_sure) = (args.database_url, args.yes);
    if target::is_on_a_server(&url) && !cfg!(feature = "postgres") {
        return target::with_postgres();
    }
    let mut target = Target::open(&url, matches!(action, Action::Up))?;
    let shown = target.shown();
    let reverts = matches!(action, Action::Down | Action::Redo);
    if reverts && !is_sure && applied(&mut target)? == 1 {
        bail!(
            "reverting the first migration drops every table of {shown}; say --yes if you mean it"
        );
    }
    match action {
        Action::Up => up(&mut target),
        Action::Down => down(&mut target).map(drop),
        Action::Redo => {
            down(&mut target).and_then(|any| if any { up(&mut target) } else { Ok(()) })
        }
        Action::Status => status(&mut target),
        Action::Dump => {
            print!("{}", target.dump(url == ":memory:")?);
            Ok(())
        }
        Action::New { .. } => unreachable!("it returned above"),
    }
}

fn up(target: &mut Target) -> anyhow::Result<()> {
    let applied = target.up()?;
    for name in &applied {
        println!("applied   {name}");
    }
    if applied.is_empty() {
        println!("nothing to apply");
    }
    Ok(())
}

fn down(target: &mut Target) -> anyhow::Result<bool> {
    let reverted = target.down()?;
    match &reverted {
        Some(name) => println!("reverted  {name}"),
        None => println!("nothing to revert"),
    }
    Ok(reverted.is_some())
}

fn applied(target: &mut Target) -> anyhow::Result<usize> {
    let all = target.status()?;
    Ok(all.iter().filter(|migration| migration.applied).count())
}

fn status(target: &mut Target) -> anyhow::Result<()> {
    for migration in target.status()? {
        let word = match (migration.applied, migration.known) {
            (true, true) => "applied",
            (true, false) => "unknown",
            (false, _) => "pending",
        };
        println!("{word:8}  {}", migration.name);
    }
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
