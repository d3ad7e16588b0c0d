//! Tests of `lines.rs`.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a22_what_is_written_is_read_back(
        micros in any::<u32>(),
        kind in 0..LineKind::ALL.len(),
        target in "[a-z:_]{0,20}",
        text in "[^\\r\\n\\x00]{0,60}",
        is_unfinished in any::<bool>(),
    ) {
        let line = Line {
            after: Duration::from_micros(micros.into()),
            kind: LineKind::ALL[kind],
            target: &target,
            text: &text,
            is_unfinished,
        };
        let mut body = String::new();
        write_line(&mut body, &line);
        let lines = Lines::from_parts(1, 1, 1, false, body);
        prop_assert_eq!(lines.iter().collect::<Vec<_>>(), [line]);
    }

    #[test]
    fn a22_whatever_a_store_returns_nobody_panics(body in any::<String>()) {
        let lines = Lines::from_parts(1, 1, 1, false, body);
        prop_assert!(lines.iter().count() <= lines.body().lines().count());
    }
}
