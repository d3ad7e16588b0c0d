//! Tests of `splitter.rs`.

use proptest::prelude::*;

use super::*;

fn split(chunks: &[&[u8]]) -> (Vec<String>, Option<String>) {
    let mut splitter = Splitter::default();
    let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
    let lines = chunks.iter().flat_map(|chunk| splitter.push(chunk));
    let lines: Vec<String> = lines.map(text).collect();
    (lines, splitter.take_rest().map(text))
}

#[test]
fn a22_a_line_ends_at_lf_and_cr_restarts_it() {
    let (lines, rest) = split(&[b"one\r\ntwo\n 10 %\r 50 %\r100", b" %\n\nend"]);
    assert_eq!(lines, ["one", "two", "100 %", ""]);
    assert_eq!(rest.as_deref(), Some("end"));
    assert_eq!(split(&[b"half\r", b"\nwhole\r", b"x\n"]).0, ["half", "x"]);
    assert_eq!(split(&[b"all\n"]).1, None);
    assert_eq!(
        split(&[b"hello\r\r\n"]).0,
        ["hello"],
        "as terminals write it"
    );
}

#[test]
fn a22_a_long_line_is_cut_in_the_middle_between_characters() {
    let long = "ä".repeat(20_000);
    let (lines, _) = split(&[b"x", long.as_bytes(), b"\n"]);
    let line = &lines[0];
    assert!(line.len() <= LINE_MAX_BYTES, "{}", line.len());
    assert!(line.starts_with("xä") && line.ends_with("ä"));
    assert!(!line.contains('\u{fffd}'), "no character is split");
    let number = line.split(['(', ' ']).nth(1).unwrap();
    let left_out: usize = number.parse().unwrap();
    assert!(40_001 - left_out <= 2 * HALF && left_out > 30_000);
}

#[test]
fn a22_a_nul_in_its_first_4_kib_makes_an_output_binary_and_later_it_is_text() {
    let mut splitter = Splitter::default();
    assert_eq!(splitter.push(b"text\n").len(), 1);
    assert!(splitter.push(b"a\0b\n").is_empty() && splitter.is_binary());
    assert!(splitter.push(b"text\n").is_empty());
    assert_eq!(splitter.take_rest(), None);
    let mut later = Splitter::default();
    later.push(&[b'x'; 4_095]);
    later.push(b"\n");
    assert_eq!(later.push(b"a\0b\n").len(), 1);
    assert!(!later.is_binary());
    let mut last = Splitter::default();
    last.push(&[b'x'; 4_095]);
    last.push(b"\0");
    assert!(last.is_binary(), "the 4,096th byte");
}

proptest! {
    #[test]
    fn a22_however_the_bytes_arrive_the_lines_are_the_same(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), 1..=u8::MAX], 0..200),
        at in 0_usize..200,
    ) {
        let (one, two) = bytes.split_at(at.min(bytes.len()));
        prop_assert_eq!(split(&[&bytes]), split(&[one, two]));
    }
}
