//! `executor copy`: a history in another database is the same history.

use crate::alike::assert_alike;
use crate::fixture::{House, house};
use crate::support::{Place, Said};

/// Copies a house's history, and returns it at its new address.
fn copied(house: &House, to: &str) -> House {
    let said = copy(&house.place, &house.db, to);
    assert_eq!(said.code, Some(0), "{}", said.err);
    // Both are looked at from the same place.
    let place = Place::new();
    let path = place.directory.path().join("house.db");
    let db = match to.contains("://") {
        true => to.to_owned(),
        false => {
            std::fs::rename(house.place.directory.path().join(to), path).unwrap();
            "house.db".to_owned()
        }
    };
    House {
        place,
        now: house.now,
        db,
    }
}

fn copy(place: &Place, from: &str, to: &str) -> Said {
    place.run(&["copy", "--from", from, "--to", to])
}

/// Everything about every execution, ids included.
fn exported(house: &House) -> String {
    let said = house.place.run(&["export", "--lines", "--db", &house.db]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out
}

#[test]
fn h07_a_copy_of_a_file_says_what_the_original_says() {
    let house = house();
    let copy = copied(&house, "copy.db");
    assert_alike(&house, &copy);
    assert_eq!(exported(&copy), exported(&house));
}

#[cfg(feature = "postgres")]
#[test]
fn h07_a_history_on_a_server_and_back_is_the_same() {
    use crate::on_a_server::server;
    let Some(server) = server() else {
        return;
    };
    let house = house();
    let there = copied(&house, &server.url(&server.database()));
    assert_alike(&house, &there);
    assert_eq!(exported(&there), exported(&house));
    let elsewhere = copied(&there, &server.url(&server.database()));
    assert_alike(&house, &elsewhere);
    let back = copied(&elsewhere, "back.db");
    assert_alike(&house, &back);
    assert_eq!(exported(&back), exported(&house));
}
