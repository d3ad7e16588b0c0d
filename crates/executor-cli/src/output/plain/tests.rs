//! Tests of `plain.rs`.

use super::*;

#[test]
fn nothing_that_a_terminal_obeys_is_left() {
    assert_eq!(
        plain("a\u{1b}[31mb\nc\u{202e}d\u{9b}e"),
        "a\u{fffd}[31mb c\u{fffd}d\u{fffd}e"
    );
    assert_eq!(plain("zażółć 😀"), "zażółć 😀");
}

#[test]
fn escaped_json_is_the_same_json() {
    let value = serde_json::json!({ "a\u{202e}": ["\u{7f}\u{1b}\n", "ä"] });
    for is_pretty in [false, true] {
        let text = json(&value, is_pretty);
        assert!(!text.chars().any(|c| is_obeyed(c) && c != '\n'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}

#[test]
fn i07_what_stands_before_a_host_is_not_shown() {
    for (said, shown) in [
        (
            "cannot use `postgres://u:secret@h/db`",
            "cannot use `postgres://…@h/db`",
        ),
        (
            "postgres://h/a@b and https://x:y@z",
            "postgres://h/a@b and https://…@z",
        ),
        ("p://u:p@ss@h", "p://…@h"),
        ("mail@host, no address", "mail@host, no address"),
        ("", ""),
    ] {
        assert_eq!(without_userinfo(said), shown);
    }
}
