//! Tests of `machine.rs`.

use super::*;

fn found(name: &str, variables: &[(&str, &str)]) -> Option<String> {
    let value = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    find(name, value).map(|path| path.display().to_string())
}

#[test]
fn e01_a_store_without_files_spools_in_the_state_directory_of_unit_or_user() {
    let home = ("HOME", "/home/ada");
    for (variables, directory) in [
        (
            &[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), home][..],
            "/var/lib/a/command-executor/broker",
        ),
        (
            &[("XDG_STATE_HOME", "/state"), home],
            "/state/command-executor/broker",
        ),
        (
            &[("XDG_STATE_HOME", "relative"), home],
            "/home/ada/.local/state/command-executor/broker",
        ),
        (&[home], "/home/ada/.local/state/command-executor/broker"),
    ] {
        assert_eq!(found("broker", variables), Some(directory.to_owned()));
    }
    assert_eq!(found("broker", &[]), None);
}

#[test]
fn e01_a_name_that_is_no_file_name_leads_nowhere() {
    for name in ["", ".", "..", "a/b", "/x", "../x", "a/"] {
        assert_eq!(found(name, &[("HOME", "/home/ada")]), None, "{name}");
    }
}
