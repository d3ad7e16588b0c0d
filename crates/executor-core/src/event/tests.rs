//! Tests of `event.rs`.

use super::*;

#[test]
fn the_payload_comes_back_as_what_it_was_and_stays_out_of_debug() {
    let event = Event::new("t").with_payload(String::from("secret"));
    assert_eq!(
        event.payload::<String>().map(String::as_str),
        Some("secret")
    );
    assert!(event.payload::<u8>().is_none());
    assert!(!format!("{event:?}").contains("secret"));
}
