//! Finds files that need each other in a circle, so that none can be read first. Only the builder and the executor
//! that it builds may form one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;
use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, UseTree, Visibility};

use super::Broken;
use super::files::sources;
use crate::shell::root;

/// A module of a crate: the crate's directory, then the names on the way.
type Module = Vec<String>;

const ALLOWED: [[&str; 2]; 1] = [["executor", "lifecycle/builder"]];

pub(super) fn check() -> anyhow::Result<Broken> {
    let mut texts: BTreeMap<Module, String> = BTreeMap::new();
    for path in sources()? {
        let inside = path
            .strip_prefix(root().join("crates"))
            .ok()
            .and_then(Path::to_str);
        let Some((name, file)) = inside.and_then(|inside| inside.split_once("/src/")) else {
            continue;
        };
        if let Some(module) = module_of(name, file) {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            texts.insert(module, text);
        }
    }
    let graph = graph(&texts)?;
    let circles = circles(&graph);
    Ok(circles
        .iter()
        .filter(|circle| !is_allowed(circle))
        .map(shown)
        .collect())
}

/// Returns a file's module; `None` for tests, which use everything, and for a crate's root, which exports everything.
fn module_of(name: &str, file: &str) -> Option<Module> {
    let file = file.strip_suffix(".rs")?;
    let file = file.strip_suffix("/mod").unwrap_or(file);
    let parts = file.split('/');
    if parts.clone().any(|part| part == "tests") || matches!(file, "lib" | "main") {
        return None;
    }
    Some(
        std::iter::once(name)
            .chain(parts)
            .map(ToOwned::to_owned)
            .collect(),
    )
}

/// Maps each file to the files that it takes names from.
fn graph(texts: &BTreeMap<Module, String>) -> anyhow::Result<BTreeMap<Module, BTreeSet<Module>>> {
    let mut graph = BTreeMap::new();
    for (module, text) in texts {
        let file = syn::parse_file(text).with_context(|| module.join("/"))?;
        let mut names = Names {
            module,
            paths: Vec::new(),
        };
        names.visit_file(&file);
        let paths = names.paths.iter();
        let needed: BTreeSet<Module> = paths
            .filter_map(|path| file_of(path, texts))
            .filter(|needed| needed != module)
            .collect();
        graph.insert(module.clone(), needed);
    }
    Ok(graph)
}

/// Returns the file that a path leads to: its longest prefix that is a file.
fn file_of(path: &[String], texts: &BTreeMap<Module, String>) -> Option<Module> {
    (2..=path.len())
        .rev()
        .map(|length| path[..length].to_vec())
        .find(|module| texts.contains_key(module))
}

/// The paths in a file that lead to its own crate.
struct Names<'m> {
    module: &'m Module,
    paths: Vec<Module>,
}

impl Names<'_> {
    fn add(&mut self, path: &[String]) {
        let mut place = match path.first().map(String::as_str) {
            Some("crate") => self.module[..1].to_vec(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len() - 1].to_vec(),
            // A file below this one, if there is one of that name. A name alone may be a variable's.
            Some(name) if path.len() > 1 => [&self.module[..], &[name.to_owned()]].concat(),
            _ => return,
        };
        for part in &path[1..] {
            if part == "super" {
                place.pop();
            } else {
                place.push(part.clone());
            }
        }
        self.paths.push(place);
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    /// Skips modules inside the file, such as tests.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    /// What is only shown on is not needed.
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !matches!(item.vis, Visibility::Public(_)) {
            self.add_tree(&[], &item.tree);
        }
    }

    /// `pub(super)` takes nothing from there.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        self.add(&parts);
        visit::visit_path(self, path);
    }
}

/// Returns the groups of files in which each file leads to every other.
fn circles(graph: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = graph
        .keys()
        .map(|from| (from, reached_from(from, graph)))
        .collect();
    let mut circles = BTreeSet::new();
    for (from, all) in &reached {
        let back = all
            .iter()
            .filter(|to| reached.get(**to).is_some_and(|back| back.contains(from)));
        let circle: BTreeSet<Module> = back.map(|module| (*module).clone()).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reached_from<'g>(
    from: &'g Module,
    graph: &'g BTreeMap<Module, BTreeSet<Module>>,
) -> BTreeSet<&'g Module> {
    let mut open = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(module) = open.pop() {
        let needed = graph.get(module).into_iter().flatten();
        open.extend(needed.filter(|needed| seen.insert(*needed)));
    }
    seen
}

fn is_allowed(circle: &BTreeSet<Module>) -> bool {
    let names: Vec<String> = circle.iter().map(|module| module[1..].join("/")).collect();
    ALLOWED.iter().any(|allowed| names == allowed)
}

fn shown(circle: &BTreeSet<Module>) -> String {
    let files: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
    format!(
        "these files need each other, in a circle: {}",
        files.join(", ")
    )
}

#[cfg(test)]
mod tests;
