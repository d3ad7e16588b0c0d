//! Tests of `root.rs`.

use super::*;

fn of_machine() -> SpoolHome {
    SpoolHome::OfMachine {
        name: "broker".into(),
    }
}

fn found(
    place: &SpoolPlace,
    home: SpoolHome,
    variables: &[(&str, &str)],
) -> Option<(String, bool)> {
    let value = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    match find(place, home, value) {
        SpoolRoot::At { root, is_own } => Some((root.display().to_string(), is_own)),
        SpoolRoot::InMemory => Some(("memory".into(), false)),
        SpoolRoot::Nowhere => None,
    }
}

#[test]
fn e01_a_store_without_files_spools_in_the_state_directory_of_unit_or_user() {
    let beside = SpoolPlace::Beside;
    let home = ("HOME", "/home/ada");
    for (variables, root) in [
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
        assert_eq!(
            found(&beside, of_machine(), variables),
            Some((root.to_owned(), true))
        );
    }
    assert_eq!(
        found(&beside, of_machine(), &[]),
        None,
        "nowhere, which is not memory"
    );
}

#[test]
fn e01_a_configured_place_holds_for_every_store() {
    let at = SpoolPlace::At("/spool".into());
    for home in [
        of_machine(),
        SpoolHome::InMemory,
        SpoolHome::Beside("/db.spool".into()),
    ] {
        assert_eq!(
            found(&at, home.clone(), &[]),
            Some(("/spool".into(), false))
        );
        assert_eq!(
            found(&SpoolPlace::Memory, home, &[]),
            Some(("memory".into(), false))
        );
    }
    let beside = SpoolHome::Beside("/db.spool".into());
    assert_eq!(
        found(&SpoolPlace::Beside, beside, &[]),
        Some(("/db.spool".into(), true))
    );
    assert_eq!(
        found(&SpoolPlace::Beside, SpoolHome::InMemory, &[]),
        Some(("memory".into(), false))
    );
}

#[test]
fn e01_a_name_that_is_no_file_name_leads_nowhere() {
    for name in ["", ".", "..", "a/b", "/x", "../x", "a/"] {
        let home = SpoolHome::OfMachine { name: name.into() };
        assert_eq!(
            found(&SpoolPlace::Beside, home, &[("HOME", "/home/ada")]),
            None,
            "{name}"
        );
    }
}
