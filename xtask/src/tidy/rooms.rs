//! Checks that each folder below a crate's `src`, and each file at its top, is a room of the plan. Also checks which
//! files name a store.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::Broken;
use super::files::sources;
use crate::shell::root;

/// The rooms of each crate. A file `x.rs` and the files directly in a folder `x` are one room; `x/y` is another.
const PLANS: [(&str, &str); 6] = [
    (
        "executor-core",
        "lib blocking command context error_handler event failure guard handler handler_slot identity ledger limiter \
         lines outcome overlap panics ports process record redact registration run runnable time topic",
    ),
    (
        "executor-service",
        "lib completions config diagnosis drain error_handlers executor intake lifecycle metering recording recovery \
         registration retention running schedule schedule/cron sources spool submitted",
    ),
    (
        "telemetry-store",
        "lib codes copy hook liveness periods planned postgres postgres/copy postgres/read postgres/write postgres/writer read \
         read/rows read/summary rollup sqlite sqlite/copy sqlite/open sqlite/read sqlite/read/executions sqlite/write sqlite/writer writer",
    ),
    (
        "record-spool",
        "lib abandoned compaction core counters frame fs inspect maintenance map mark options position recover \
         segment segments spool sync synced",
    ),
    (
        "executor-dashboard",
        "lib answer assets changes charts dashboard drawing pages question security shown",
    ),
    (
        "executor-cli",
        "main args cmd cmd/report cmd/run cmd/serve config exit input input/events input/source output wire",
    ),
];

/// Files that may name a store, and whole crates that may because they are or re-export one.
const NAME_A_STORE: [&str; 5] = [
    "telemetry-store/",
    "command-executor/",
    "executor-cli/src/wire.rs",
    "executor-testkit/src/temp_database.rs",
    "executor-testkit/src/temp_postgres.rs",
];

const STORES: [&str; 5] = [
    "telemetry_store",
    "SqliteStore",
    "SqliteHistory",
    "PostgresStore",
    "PostgresHistory",
];

pub(super) fn check() -> anyhow::Result<Broken> {
    let crates = root().join("crates");
    let mut broken = Broken::new();
    for path in sources()? {
        let inside = path.strip_prefix(&crates).ok().and_then(Path::to_str);
        let Some((name, file)) = inside.and_then(|inside| inside.split_once("/src/")) else {
            continue;
        };
        let shown = format!("{name}/src/{file}");
        if let Some((_, rooms)) = PLANS.iter().find(|(of, _)| *of == name)
            && !is_in_a_room(rooms, file)
        {
            broken.push(format!(
                "{shown}: not in a room of the plan; move it, or add a room to rooms.rs"
            ));
        }
        let text = fs::read_to_string(&path).with_context(|| shown.clone())?;
        if !NAME_A_STORE.iter().any(|may| shown.starts_with(may)) && names_a_store(&text) {
            broken.push(format!("{shown}: names a store; only wire.rs does"));
        }
    }
    Ok(broken)
}

/// Returns whether a file is in a room. Tests are in the folder of the file that they test, or in one of their own.
fn is_in_a_room(rooms: &str, file: &str) -> bool {
    let file = file.strip_suffix(".rs").unwrap_or(file);
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let is_room = |room: &str| rooms.split_whitespace().any(|known| known == room);
    let is_of_tests = name == "tests" || folder == "tests";
    is_of_tests || is_room(if folder.is_empty() { name } else { folder })
}

fn names_a_store(text: &str) -> bool {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.into_iter()
        .any(|line| STORES.iter().any(|store| line.contains(store)))
}

#[cfg(test)]
mod tests;
