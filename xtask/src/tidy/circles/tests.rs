//! Tests of `circles.rs`.

use super::*;

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let texts = files
        .iter()
        .filter_map(|(file, text)| Some((module_of("house", file)?, (*text).to_owned())));
    let graph = graph(&texts.collect()).unwrap();
    circles(&graph).iter().map(shown).collect()
}

#[test]
fn a_circle_is_found_however_its_files_name_each_other() {
    let hall = ("hall.rs", "use crate::{attic::Box, cellar};");
    let cellar = ("cellar.rs", "fn f() { crate::attic::open() }");
    let attic = (
        "attic.rs",
        "use super::hall::Door; mod tests { use crate::cellar::X; }",
    );
    assert_eq!(
        found(&[hall, cellar, attic]),
        ["these files need each other, in a circle: house/attic, house/cellar, house/hall"]
    );
    assert!(found(&[hall, cellar, ("attic.rs", "use std::io;")]).is_empty());
    assert!(found(&[hall, ("attic.rs", "use crate::hall::Door;")])[0].contains("attic"));
}

#[test]
fn of_a_file_in_a_folder_the_longest_path_counts() {
    let child = ("intake/queue.rs", "use super::State;");
    let parent = ("intake.rs", "mod queue; use queue::Queue;");
    assert_eq!(found(&[child, parent]).len(), 1, "by the child's own name");
    let queue = ("intake/queue.rs", "use super::State;");
    let intake = ("intake.rs", "use self::queue::Queue;");
    assert_eq!(found(&[queue, intake]).len(), 1);
    assert!(found(&[("intake/queue.rs", "use std::io;"), intake]).is_empty());
}
