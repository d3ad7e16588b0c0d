//! Tests of `groups.rs`.

use proptest::prelude::*;

use super::*;

#[test]
fn g01_a_shape_has_no_numbers_and_no_ids() {
    for (message, expected) in [
        ("exited with status 12", "exited with status #"),
        ("exited with status 3", "exited with status #"),
        ("GET /lamp/17?x=2 took 3.5s", "GET /lamp/#?x=# took #.#"),
        (
            "lamp 0193f2a9-1c04-7e2b-8000-000000000001 is gone",
            "lamp # is gone",
        ),
        ("2026-11-28T22:00:01Z: no route", "#:#:#: no route"),
        (
            "could not open `a_file`: No such file",
            "could not open `a_file`: No such file",
        ),
        ("", ""),
        ("äöü 7ß", "äöü #"),
    ] {
        assert_eq!(shape(message), expected);
    }
}

proptest! {
    #[test]
    fn g01_the_shape_of_a_shape_is_itself_and_has_no_digit(message in "\\PC{0,80}") {
        let found = shape(&message);
        prop_assert_eq!(shape(&found), found.clone());
        prop_assert!(!found.contains(|char: char| char.is_ascii_digit()));
    }

    #[test]
    fn g01_numbers_change_no_shape(one in any::<u64>(), other in any::<u64>()) {
        let of = |number| shape(&format!("lamp {number} at 10.0.0.{number}: error {number}"));
        prop_assert_eq!(of(one), of(other));
    }
}
