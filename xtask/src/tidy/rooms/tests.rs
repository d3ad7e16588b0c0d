//! Tests of `rooms.rs`.

use super::*;

#[test]
fn a_file_stands_in_a_room_of_the_plan() {
    let rooms = "lib intake schedule/cron";
    for file in [
        "lib.rs",
        "intake.rs",
        "intake/queue.rs",
        "schedule/cron/fields.rs",
        "intake/queue/tests.rs",
    ] {
        assert!(is_in_a_room(rooms, file), "{file}");
    }
    for file in [
        "queue.rs",
        "schedule.rs",
        "intake/queue/deep.rs",
        "attic/queue.rs",
    ] {
        assert!(!is_in_a_room(rooms, file), "{file}");
    }
}

#[test]
fn a_store_is_named_by_code_and_not_by_prose() {
    assert!(names_a_store("use command_executor::SqliteStore;"));
    assert!(!names_a_store("/// As `SqliteStore` does."));
}
