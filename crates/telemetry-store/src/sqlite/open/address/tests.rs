//! Tests of `address.rs`.

use super::*;

fn path_of(url: &str) -> String {
    match Target::parse(url) {
        Ok(Target::Memory) => "(memory)".into(),
        Ok(Target::File(path)) => path.display().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn d05_addresses_are_understood_or_refused_with_a_reason() {
    for (url, path) in [
        ("a b/ünï?.db", "a b/ünï?.db"),
        ("sqlite:a.db", "a.db"),
        ("sqlite:///x/a.db", "/x/a.db"),
        ("file:a.db", "a.db"),
        ("file:/x/a.db", "/x/a.db"),
        ("file:///x/a.db", "/x/a.db"),
        (":memory:", "(memory)"),
        ("sqlite::memory:", "(memory)"),
        ("file::memory:", "(memory)"),
    ] {
        assert_eq!(path_of(url), path, "{url}");
    }
    for (url, why) in [
        ("", "names no file"),
        ("house.db/", "names a directory"),
        ("file:", "names no file"),
        ("file:a.db?mode=ro", "not understood"),
        ("file:a%20b.db", "not understood"),
        ("file://host/a.db", "file:///"),
        ("mysql://host/a", "only sqlite:"),
    ] {
        assert!(path_of(url).contains(why), "{url}: {}", path_of(url));
    }
}
