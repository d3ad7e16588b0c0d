//! Tests of `words.rs`.

use super::*;

#[test]
fn an_old_word_is_found_where_it_names_something_and_not_in_prose() {
    let bad = [
        "let parcel = take();",
        "pub struct Load {",
        "use crate::Vitals;",
    ];
    for line in bad {
        assert_eq!(check_text(line).len(), 1, "{line}");
    }
    let good = [
        "// a parcel of records",
        "let x = \"parcel\";",
        "Ordering::Load",
        "let page = 4_096;",
        "struct Loaded;",
    ];
    for line in good {
        assert!(check_text(line).is_empty(), "{line}");
    }
}
