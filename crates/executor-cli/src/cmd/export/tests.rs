//! Tests of `export.rs`.

use super::*;

#[test]
fn i03_a_row_keeps_its_cells_apart_and_no_control_character() {
    let cells = [
        "plain",
        "a, b",
        "say \"no\"",
        "two\nlines",
        "\u{1b}[31m",
        "",
    ];
    let expected = "plain,\"a, b\",\"say \"\"no\"\"\",\"two\nlines\",\u{fffd}[31m,\n";
    assert_eq!(row(cells.map(str::to_owned)), expected);
}
