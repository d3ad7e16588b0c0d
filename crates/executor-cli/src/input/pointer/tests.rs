//! The scan beside a parser that decodes everything.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn at<'l>(line: &'l str, text: &str) -> Option<Scalar<'l>> {
    find(line.as_bytes(), &[&pointer(text)]).unwrap().remove(0)
}

fn text(text: &str) -> Option<Scalar<'_>> {
    Some(Scalar::Text(text.into()))
}

#[test]
fn what_is_asked_for_is_found_as_it_was_written() {
    let line = r#" {"a":{"b":[1,{"c":"d\n\u00e4\ud83d\ude00"}]},"n":1.10e+400,"x/y":{"~":true}} "#;
    assert_eq!(at(line, "/a/b/1/c"), text("d\nä😀"));
    assert_eq!(at(line, "/n"), Some(Scalar::Number("1.10e+400")));
    assert_eq!(at(line, "/x~1y/~0"), Some(Scalar::Word("true")));
    assert_eq!(at(line, "/a/b"), Some(Scalar::Container));
    assert_eq!(at(line, "/a/b/01"), None);
    assert_eq!(at(line, "/b"), None);
}

#[test]
fn of_members_with_the_same_name_the_last_one_counts() {
    assert_eq!(at(r#"{"a":1,"a":2}"#, "/a"), Some(Scalar::Number("2")));
    assert_eq!(at(r#"{"a":{"b":1},"a":{}}"#, "/a/b"), None);
    assert_eq!(at(r#"{"a":1,"\u0061":"x"}"#, "/a"), text("x"));
}

#[test]
fn half_a_character_is_no_reason_to_refuse_a_line() {
    assert_eq!(at(r#"{"a":"\ud83d"}"#, "/a"), text("\u{fffd}"));
    assert_eq!(at(r#"{"a":"x\udc80y"}"#, "/a"), text("x\u{fffd}y"));
    assert_eq!(at(r#"{"\ud800":"x","a":"y"}"#, "/a"), text("y"));
}

#[test]
fn the_depth_is_bounded_by_the_line_alone() {
    let depth = 1_000_000;
    let line = format!(
        "{{\"d\":{}{},\"a\":7}}",
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert_eq!(at(&line, "/a"), Some(Scalar::Number("7")));
}

#[test]
fn what_is_not_json_is_refused_at_its_place() {
    let refused = |line: &[u8]| find(line, &[&pointer("/a")]).unwrap_err().column;
    let bad: [(&[u8], usize); 16] = [
        (b"", 1),
        (b"{", 2),
        (b"{\"a\":tru}", 9),
        (b"{\"a\":1}x", 8),
        (b"{\"a\":01}", 7),
        (b"{\"a\":1.}", 8),
        (b"{\"a\":-}", 7),
        (b"{\"a\":1e}", 8),
        (b"{\"a\" 1}", 6),
        (b"{\"a\":1,}", 8),
        (b"[1 2]", 4),
        (b"[1}", 3),
        (b"{\"a\":\"\x01\"}", 7),
        (b"{\"a\":\"\\x\"}", 8),
        (b"{\"a\":\"\\u00g0\"}", 11),
        (b"{\"a\":\"\xff\"}", 7),
    ];
    for (line, column) in bad {
        assert_eq!(refused(line), column, "{}", String::from_utf8_lossy(line));
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c/~]{1,2}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// What a decoded value says of itself in the scan's words.
fn expected(value: &Value) -> String {
    match value {
        Value::String(text) => format!("text {text}"),
        Value::Number(number) => format!("number {number}"),
        _ => "other".to_owned(),
    }
}

fn said(found: &Scalar<'_>) -> String {
    match found {
        Scalar::Text(text) => format!("text {text}"),
        Scalar::Number(number) => format!("number {number}"),
        Scalar::Word(_) | Scalar::Container => "other".to_owned(),
    }
}

proptest! {
    #[test]
    fn every_value_is_found_where_another_parser_finds_it(value in value(), path in "(/[a-c0-2]{1,2}){1,3}") {
        let line = value.to_string();
        let found = find(line.as_bytes(), &[&pointer(&path)]).unwrap().remove(0);
        prop_assert_eq!(found.as_ref().map(said), value.pointer(&path).map(expected), "{}", line);
    }

    #[test]
    fn what_another_parser_refuses_is_refused(value in value(), place in 0_usize..64, byte in any::<u8>()) {
        let mut line = value.to_string().into_bytes();
        let place = place.min(line.len());
        line.insert(place, byte);
        let other = serde_json::from_slice::<Value>(&line);
        let ours = find(&line, &[&pointer("/a")]);
        // It also refuses what has no place in its types.
        if other.is_ok() {
            prop_assert!(ours.is_ok(), "{}", String::from_utf8_lossy(&line));
        } else if ours.is_ok() {
            let why = other.unwrap_err().to_string();
            prop_assert!(why.contains("out of range") || why.contains("surrogate"), "{}", why);
        }
    }
}
