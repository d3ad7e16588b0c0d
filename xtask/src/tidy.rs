//! Checks rules that no compiler checks. Each rule returns its violations; all of them are printed.

mod circles;
mod clauses;
mod files;
mod layers;
mod rooms;
mod words;

use anyhow::{Context, bail};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::shell::root;

/// The violations of a rule: where they are, and what to do.
type Broken = Vec<String>;

pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .exec()
        .context("cannot read the workspace's metadata")?;
    let broken = all(&metadata)?;
    for line in &broken {
        eprintln!("tidy: {line}");
    }
    if !broken.is_empty() {
        bail!("{} rules are broken", broken.len());
    }
    eprintln!("tidy: layers, rooms, circles, files, clauses and words are in order");
    Ok(())
}

fn all(metadata: &Metadata) -> anyhow::Result<Broken> {
    let mut broken = layers::check(metadata);
    broken.extend(files::check(metadata)?);
    broken.extend(clauses::check()?);
    broken.extend(rooms::check()?);
    broken.extend(circles::check()?);
    broken.extend(words::check()?);
    Ok(broken)
}
