//! Tests of `shown.rs`.

use super::*;

#[test]
fn i01_a_fitted_text_takes_exactly_its_columns() {
    for (text, fitted_to_it) in [
        ("house", "house     "),
        ("house/attic", "house/att…"),
        ("寬寬", "寬寬      "),
        ("寬寬寬寬寬寬", "寬寬寬寬… "),
        ("", "          "),
    ] {
        let fitted = fitted(text, 10);
        assert_eq!((fitted.width(), &*fitted), (10, fitted_to_it));
    }
}
