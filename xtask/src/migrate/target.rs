//! The database that is migrated: a file, or one on a server.

use std::env;
use std::process::Command;

use anyhow::{Context, anyhow};
#[cfg(feature = "postgres")]
use telemetry_store::PostgresMigrator;
use telemetry_store::migrate::{MigrationStatus, Migrator};

use crate::shell::root;

pub(super) enum Target {
    File(Migrator, String),
    #[cfg(feature = "postgres")]
    Server(PostgresMigrator),
}

pub(super) fn is_on_a_server(url: &str) -> bool {
    ["postgres:", "postgresql:"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
}

/// Builds this program with what servers need, libpq, and does there what was asked for here.
pub(super) fn with_postgres() -> anyhow::Result<()> {
    let asked: Vec<_> = env::args_os().skip(1).collect();
    let built = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--package",
            "xtask",
            "--features",
            "postgres",
            "--",
        ])
        .args(asked)
        .current_dir(root())
        .status()
        .context("cannot run cargo")?;
    // It has said why; without libpq it could not be built.
    match built.success() {
        true => Ok(()),
        false => std::process::exit(built.code().unwrap_or(1)),
    }
}

impl Target {
    /// A file may be made only where it is brought up to date.
    pub(super) fn open(url: &str, makes: bool) -> anyhow::Result<Self> {
        #[cfg(feature = "postgres")]
        if is_on_a_server(url) {
            return Ok(Self::Server(PostgresMigrator::open(url)?));
        }
        let opened = match makes {
            true => Migrator::open(url),
            false => Migrator::open_existing(url),
        };
        let migrator = opened.with_context(|| format!("cannot open `{url}`"))?;
        Ok(Self::File(migrator, url.to_owned()))
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(_, url) => format!("`{url}`"),
            #[cfg(feature = "postgres")]
            Self::Server(_) => "this database".to_owned(),
        }
    }

    pub(super) fn up(&mut self) -> anyhow::Result<Vec<String>> {
        let applied = match self {
            Self::File(migrator, _) => migrator.up(),
            #[cfg(feature = "postgres")]
            Self::Server(migrator) => migrator.up(),
        };
        applied.map_err(|error| anyhow!(error))
    }

    pub(super) fn down(&mut self) -> anyhow::Result<Option<String>> {
        let reverted = match self {
            Self::File(migrator, _) => migrator.down(),
            #[cfg(feature = "postgres")]
            Self::Server(migrator) => migrator.down(),
        };
        reverted.map_err(|error| anyhow!(error))
    }

    pub(super) fn status(&mut self) -> anyhow::Result<Vec<MigrationStatus>> {
        let all = match self {
            Self::File(migrator, _) => migrator.status(),
            #[cfg(feature = "postgres")]
            Self::Server(migrator) => migrator.status(),
        };
        all.map_err(|error| anyhow!(error))
    }

    pub(super) fn dump(&mut self, is_in_memory: bool) -> anyhow::Result<String> {
        match self {
            Self::File(migrator, _) => {
                if is_in_memory {
                    migrator.up().map_err(|error| anyhow!(error))?;
                }
                migrator.dump().map_err(|error| anyhow!(error))
            }
            #[cfg(feature = "postgres")]
            Self::Server(_) => Err(anyhow!("use `pg_dump --schema-only --schema=executor`")),
        }
    }
}
