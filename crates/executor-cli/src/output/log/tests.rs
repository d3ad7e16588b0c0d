//! Tests of `log.rs`.

use super::*;

#[test]
fn i03_on_a_terminal_only_colours_are_obeyed() {
    let line = "\x1b[1;31mERROR\x1b[0m job=a\x1b[2Jb\x1b]0;title\x07 \x1b[3\n\x1b";
    assert_eq!(
        shown(line, true),
        "\x1b[1;31mERROR\x1b[0m job=a\u{fffd}[2Jb\u{fffd}]0;title\u{fffd} \u{fffd}[3\n\u{fffd}"
    );
    assert_eq!(shown("\x1b[1mx", false), "\u{fffd}[1mx");
}
