//! Tests of `drawn.rs`.

use super::*;

#[test]
fn a_bar_is_as_long_as_its_value() {
    for (value, bar_of_it) in [
        (0.0, ""),
        (f64::NAN, ""),
        (0.001, "▏"),
        (1.0, "█"),
        (1.5, "█▌"),
        (8.0, "████████"),
        (99.0, "████████"),
    ] {
        assert_eq!(bar(value, 8.0, 8), bar_of_it, "{value}");
    }
    assert_eq!(bar(1.0, 0.0, 8), "");
}
