//! Checks the dependencies between crates. A crate may depend only on the workspace's crates listed
//! for it, and must not reach the libraries forbidden to it, not even through other crates.

use std::collections::{BTreeSet, HashMap};

use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

use super::Broken;

struct Layer {
    name: &'static str,
    /// Crates of the workspace that it may depend on.
    knows: &'static [&'static str],
    /// Libraries that it must not reach, directly or through other crates.
    never: &'static [&'static str],
}

const DATABASES: &[&str] = &[
    "diesel",
    "rusqlite",
    "libsqlite3-sys",
    "diesel_migrations",
    "pq-sys",
];

const LAYERS: &[Layer] = &[
    Layer {
        name: "executor-core",
        knows: &[],
        never: &[
            "diesel",
            "rusqlite",
            "libsqlite3-sys",
            "serde",
            "serde_json",
            "toml",
        ],
    },
    Layer {
        name: "telemetry-store",
        knows: &["executor-core"],
        never: &["executor-service"],
    },
    Layer {
        name: "executor-service",
        knows: &["executor-core", "record-spool"],
        never: DATABASES,
    },
    Layer {
        name: "record-spool",
        knows: &[],
        never: &["executor-core"],
    },
    Layer {
        name: "executor-testkit",
        knows: &["executor-core", "telemetry-store"],
        never: &["executor-service"],
    },
    Layer {
        name: "executor-tracing",
        knows: &["executor-core"],
        never: &["executor-service", "diesel", "libsqlite3-sys"],
    },
    Layer {
        name: "executor-dashboard",
        knows: &["executor-core", "executor-service"],
        never: DATABASES,
    },
    Layer {
        name: "command-executor",
        knows: &["executor-core", "executor-service", "telemetry-store"],
        never: &[],
    },
    Layer {
        name: "xtask",
        knows: &["telemetry-store"],
        never: &[],
    },
];

/// Crates that join everything, so nothing is forbidden to them.
const OUTERMOST: &[&str] = &["executor-cli", "integration-tests", "examples"];

pub(super) fn check(metadata: &Metadata) -> Broken {
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut broken = Broken::new();
    for member in &members {
        match LAYERS
            .iter()
            .find(|layer| layer.name == member.name.as_str())
        {
            Some(layer) => {
                broken.extend(check_direct(member, layer, &names));
                broken.extend(check_reached(metadata, member, layer));
            }
            None if OUTERMOST.contains(&member.name.as_str()) => {}
            None => broken.push(format!("{}: no layer says whom it may know", member.name)),
        }
    }
    broken
}

fn check_direct(member: &Package, layer: &Layer, names: &BTreeSet<&str>) -> Broken {
    let normal = member
        .dependencies
        .iter()
        .filter(|known| known.kind == DependencyKind::Normal);
    normal
        .map(|known| known.name.as_str())
        .filter(|known| names.contains(known) && !layer.knows.contains(known))
        .map(|known| format!("{} must not know {known}", layer.name))
        .collect()
}

/// Follows the resolved graph along normal dependencies. The features are those of a build of the
/// whole workspace, which is why the test kit's optional store is not listed as forbidden.
fn check_reached(metadata: &Metadata, member: &Package, layer: &Layer) -> Broken {
    let reached = reached_from(metadata, &member.id);
    layer
        .never
        .iter()
        .filter(|library| reached.contains(**library))
        .map(|library| format!("{} must never reach {library}", layer.name))
        .collect()
}

fn reached_from(metadata: &Metadata, start: &PackageId) -> BTreeSet<String> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let nodes: HashMap<_, _> = nodes.map(|node| (&node.id, node)).collect();
    let mut open = vec![start];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let known = nodes.get(id).into_iter().flat_map(|node| &node.deps);
        let is_normal = |kinds: &[cargo_metadata::DepKindInfo]| {
            kinds.iter().any(|info| info.kind == DependencyKind::Normal)
        };
        for known in known.filter(|known| is_normal(&known.dep_kinds)) {
            if seen.insert(metadata[&known.pkg].name.to_string()) {
                open.push(&known.pkg);
            }
        }
    }
    seen
}
