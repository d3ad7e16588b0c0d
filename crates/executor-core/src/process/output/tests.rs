//! Tests of `output.rs`.

use super::*;

#[test]
fn only_the_last_bytes_are_kept_and_the_rest_counted() {
    let tail = Tail::new(LineKind::Stdout, 4);
    assert_eq!(tail.text(), None);
    tail.push(b"ab");
    assert_eq!(tail.text().as_deref(), Some("ab"));
    tail.push(b"cdefg");
    assert_eq!(
        tail.text().as_deref(),
        Some("… 3 bytes before this …\ndefg")
    );
}
