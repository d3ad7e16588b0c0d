//! Digests of rows, and texts on their way.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Digest, Row, without_nul};

fn digest(rows: &[Row]) -> Digest {
    let mut digest = Digest::default();
    rows.iter().for_each(|row| digest.add(row));
    digest
}

fn row() -> impl Strategy<Value = Row> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|it| json!(it)),
        "[a-c]{0,2}".prop_map(|it| json!(it)),
    ];
    prop::collection::vec(value, 1..4)
}

proptest! {
    /// Two lists of rows have the same digest if and only if they have the same rows, in whatever order.
    #[test]
    fn h07_a_digest_tells_rows_apart(some in prop::collection::vec(row(), 0..5), others in prop::collection::vec(row(), 0..5)) {
        let sorted = |rows: &[Row]| {
            let mut shown: Vec<String> = rows.iter().map(|row| json!(row).to_string()).collect();
            shown.sort();
            shown
        };
        prop_assert_eq!(digest(&some) == digest(&others), sorted(&some) == sorted(&others));
        let mut reversed = some.clone();
        reversed.reverse();
        prop_assert_eq!(digest(&some), digest(&reversed));
    }
}

#[test]
fn h07_where_a_text_ends_is_part_of_a_digest() {
    let row = |one: &str, other: &str| vec![vec![json!(one), json!(other)]];
    assert_ne!(digest(&row("a", "bc")), digest(&row("ab", "c")));
    assert_ne!(digest(&row("", "a")), digest(&row("a", "")));
    assert_ne!(digest(&[vec![json!(1)]]), digest(&[vec![json!("1")]]));
}

#[test]
fn h07_what_a_server_cannot_hold_is_replaced() {
    let mut row = vec![json!("a\0b"), json!(3), json!("c")];
    without_nul(&mut row);
    assert_eq!(row, [json!("a\u{fffd}b"), json!(3), json!("c")]);
}
