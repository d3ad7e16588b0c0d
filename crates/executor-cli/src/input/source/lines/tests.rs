//! Tests of `lines.rs`.

use super::*;

#[test]
fn lines_come_apart_and_long_ones_are_skipped_whole() {
    let mut source: &[u8] = b"one\n\ntoo long\nfive\nlast";
    let mut lines = Vec::new();
    while let Some(line) = next_line(&mut source, 5).unwrap() {
        lines.push(line);
    }
    let text = |text: &str| Some(text.into());
    assert_eq!(
        lines,
        [text("one"), text(""), None, text("five"), text("last")]
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let (sender, mut receiver) = mpsc::channel(9);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let ahead = Ahead {
        runtime: runtime.handle().clone(),
        room: Arc::new(Semaphore::new(99)),
        line_max: 9,
    };
    let bytes: &[u8] = b"\xEF\xBB\xBFone\n\xEF\xBB\xBFtwo\n";
    pump(bytes, &ahead, &sender);
    let mut next = || match receiver.try_recv().unwrap().unwrap() {
        Line::Text(text) => text.bytes().to_vec(),
        Line::TooLong(_) => panic!("too long"),
    };
    assert_eq!(next(), b"one");
    assert_eq!(next(), b"\xEF\xBB\xBFtwo");
}
