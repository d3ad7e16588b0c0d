//! Tests of `root.rs`.

use super::*;

fn of_machine() -> SpoolHome {
    SpoolHome::OfMachine {
        name: "broker".into(),
    }
}

fn found(place: &SpoolPlace, home: SpoolHome, state: Option<&str>) -> Option<(String, bool)> {
    match find(place, home, |name| Some(PathBuf::from(state?).join(name))) {
        SpoolRoot::At { root, is_own } => Some((root.display().to_string(), is_own)),
        SpoolRoot::InMemory => Some(("memory".into(), false)),
        SpoolRoot::Nowhere => None,
    }
}

#[test]
fn e01_a_store_without_files_spools_below_the_state_of_this_machine_if_there_is_any() {
    let beside = SpoolPlace::Beside;
    let below = Some(("/state/broker".to_owned(), true));
    assert_eq!(found(&beside, of_machine(), Some("/state")), below);
    let nowhere = found(&beside, of_machine(), None);
    assert_eq!(nowhere, None, "which is not memory");
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
            found(&at, home.clone(), None),
            Some(("/spool".into(), false))
        );
        assert_eq!(
            found(&SpoolPlace::Memory, home, None),
            Some(("memory".into(), false))
        );
    }
    let beside = SpoolHome::Beside("/db.spool".into());
    assert_eq!(
        found(&SpoolPlace::Beside, beside, None),
        Some(("/db.spool".into(), true))
    );
    assert_eq!(
        found(&SpoolPlace::Beside, SpoolHome::InMemory, None),
        Some(("memory".into(), false))
    );
}
