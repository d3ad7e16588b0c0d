//! Checks that each source file begins with its purpose and is not too long, that each crate takes
//! the workspace's lints, and that each library root forbids unsafe code.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cargo_metadata::{Metadata, Package};

use super::Broken;
use crate::shell::root;

const LINES_MAX: usize = 500;

pub(super) fn check(metadata: &Metadata) -> anyhow::Result<Broken> {
    let mut broken = Broken::new();
    for path in sources()? {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        broken.extend(check_file(&path, &text));
    }
    for member in metadata.workspace_packages() {
        broken.extend(check_crate(member)?);
    }
    Ok(broken)
}

fn check_file(path: &Path, text: &str) -> Broken {
    let shown = path
        .strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string();
    let mut broken = Broken::new();
    if !text.starts_with("//! ") {
        broken.push(format!(
            "{shown}: begin with `//!` and what the file is for"
        ));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        broken.push(format!(
            "{shown}: {lines} lines are more than {LINES_MAX}; split it"
        ));
    }
    broken
}

fn check_crate(member: &Package) -> anyhow::Result<Broken> {
    let mut broken = Broken::new();
    let manifest = fs::read_to_string(&member.manifest_path)?;
    if !manifest.contains("[lints]\nworkspace = true") {
        broken.push(format!("{}: take the workspace's lints", member.name));
    }
    let libraries = member.targets.iter().filter(|target| target.is_lib());
    for library in libraries.filter(|_| member.name.as_str() != "record-spool") {
        if !fs::read_to_string(&library.src_path)?.contains("#![forbid(unsafe_code)]") {
            broken.push(format!(
                "{}: forbid unsafe code in {}",
                member.name, library.src_path
            ));
        }
    }
    Ok(broken)
}

/// Every Rust file of the repository.
pub(super) fn sources() -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["crates", "xtask", "tests", "examples"]
        .iter()
        .map(|directory| root().join(directory))
        .collect();
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
