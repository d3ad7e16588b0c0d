//! Tests of `buffer.rs`.

use std::sync::Mutex;

use super::*;

/// The room of all executions is shared: these tests fill it.
static ALONE: Mutex<()> = Mutex::new(());

type Room = fn(LinePolicy) -> usize;

const FAILED: Room = LinePolicy::room_of_failure;

fn finish(buffer: LineBuffer, room: Room, policy: Option<LinePolicy>) -> Option<Lines> {
    buffer.finish(Instant::now(), policy, room, &Redactor::NONE)
}

fn texts(lines: &Lines) -> Vec<String> {
    lines.iter().map(|line| line.text.to_owned()).collect()
}

#[test]
fn a22_the_first_quarter_and_the_last_three_are_kept_and_the_rest_is_counted() {
    let _alone = ALONE.lock();
    let mut buffer = LineBuffer::default();
    for number in 0..10_000 {
        buffer.log(LineKind::Info, "house", &format!("line {number}"));
    }
    let lines = finish(buffer, FAILED, None).unwrap();
    assert!(lines.body().len() <= LINES_MAX_BYTES);
    assert_eq!(lines.total(), 10_000);
    assert_eq!(lines.total_bytes(), 98_890);
    let texts = texts(&lines);
    assert_eq!(
        texts.len() as u64,
        lines.kept() + 1,
        "one says what is left out"
    );
    let cut = texts.iter().position(|text| text.ends_with("left out"));
    let cut = cut.unwrap();
    assert_eq!(
        texts[cut],
        format!("{} lines left out", 10_000 - lines.kept())
    );
    assert_eq!(
        (&*texts[0], &*texts[cut - 1]),
        ("line 0", &*format!("line {}", cut - 1))
    );
    assert_eq!(texts.last().unwrap(), "line 9999");
    let ratio = cut as f64 / lines.kept() as f64;
    assert!((0.24..0.27).contains(&ratio), "{ratio}");
}

#[test]
fn a22_the_policy_says_which_ends_keep_their_lines() {
    let _alone = ALONE.lock();
    let of = |room: Room, policy, printed: bool| {
        let mut buffer = LineBuffer::default();
        for number in 0..500 {
            let line = format!("line {number}\n");
            if printed {
                buffer.print(LineKind::Stdout, line.as_bytes());
            } else {
                buffer.log(LineKind::Info, "house", &line);
            }
        }
        finish(buffer, room, policy).map_or(0, |lines| lines.kept())
    };
    for (room, failures, tail) in [
        (LinePolicy::room_of_success as Room, 0, 64),
        (FAILED, 500, 500),
    ] {
        assert_eq!(of(room, None, false), failures);
        assert_eq!(of(room, None, true), tail);
        assert_eq!(of(room, Some(LinePolicy::None), true), 0);
        assert_eq!(of(room, Some(LinePolicy::Failures), true), failures);
        assert_eq!(of(room, Some(LinePolicy::All), false), 500);
    }
    assert_eq!(finish(LineBuffer::default(), FAILED, None), None);
}

#[test]
fn a22_a_long_last_line_of_a_success_keeps_its_end() {
    let _alone = ALONE.lock();
    let mut buffer = LineBuffer::default();
    buffer.print(LineKind::Stdout, b"first\n");
    buffer.print(LineKind::Stdout, "ä".repeat(1_500).as_bytes());
    let lines = finish(buffer, LinePolicy::room_of_success, None).unwrap();
    let texts = texts(&lines);
    assert_eq!(texts[0], "1 lines left out");
    assert!(
        (1_900..=2_048).contains(&texts[1].len()),
        "{}",
        texts[1].len()
    );
    assert!(texts[1].chars().all(|char| char == 'ä'));
}

#[test]
fn a22_what_is_said_after_the_end_is_kept_nowhere_and_takes_no_room() {
    let _alone = ALONE.lock();
    let mut buffer = LineBuffer::default();
    buffer.log(LineKind::Info, "", "in time");
    let taken = buffer.take();
    let before = HELD.load(Ordering::Relaxed);
    buffer.log(LineKind::Info, "", "too late");
    buffer.print(LineKind::Stdout, b"too late\n");
    assert_eq!(HELD.load(Ordering::Relaxed), before);
    assert_eq!(texts(&finish(taken, FAILED, None).unwrap()), ["in time"]);
    assert_eq!(finish(buffer, FAILED, None), None);
}

#[test]
fn a22_escape_sequences_and_control_characters_are_removed_and_bad_utf8_is_replaced() {
    let _alone = ALONE.lock();
    let mut buffer = LineBuffer::default();
    buffer.log(
        LineKind::Warn,
        "a b]c",
        "one\n\u{1b}[1;31mred\u{1b}[0m\u{7}\ttab",
    );
    buffer.print(
        LineKind::Stderr,
        b"\x1b]0;title\x07named \xff\xfe end\x1b(B\n",
    );
    buffer.print(LineKind::Stdout, b"without an end");
    let lines = finish(buffer, FAILED, None).unwrap();
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line.kind, line.target, line.text, line.is_unfinished))
        .collect();
    let expected = [
        (LineKind::Warn, "a_b_c", "one", false),
        (LineKind::Warn, "a_b_c", "red\ttab", false),
        (LineKind::Stderr, "", "named \u{fffd}\u{fffd} end", false),
        (LineKind::Stdout, "", "without an end", true),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        lines.to_string(),
        "one\nred\ttab\nnamed \u{fffd}\u{fffd} end\nwithout an end\n"
    );
}

#[test]
fn a22_of_a_binary_output_only_the_size_is_kept_and_the_other_stream_stays() {
    let _alone = ALONE.lock();
    let mut buffer = LineBuffer::default();
    buffer.log(LineKind::Info, "", "logged");
    buffer.print(LineKind::Info, b"PNG\n");
    buffer.print(LineKind::Stderr, b"a warning\n");
    buffer.print(LineKind::Stdout, b"\0\0\0\n");
    buffer.print(LineKind::Stdout, b"text\n");
    let lines = finish(buffer, FAILED, None).unwrap();
    assert!(lines.is_binary());
    assert_eq!(lines.total_bytes(), 30);
    assert_eq!(texts(&lines), ["logged", "a warning", "1 lines left out"]);
}

#[test]
fn a22_all_running_executions_together_take_a_bounded_room() {
    let _alone = ALONE.lock();
    let before = HELD.load(Ordering::Relaxed);
    let line = "x".repeat(8_000);
    let mut all = Vec::new();
    for _ in 0..1_200 {
        let mut buffer = LineBuffer::default();
        for _ in 0..8 {
            buffer.log(LineKind::Info, "", &line);
        }
        all.push(buffer);
    }
    let held = HELD.load(Ordering::Relaxed);
    assert!(
        held <= ALL_MAX_BYTES && held > ALL_MAX_BYTES - 20_000,
        "{held}"
    );
    let last = finish(all.pop().unwrap(), FAILED, None).unwrap();
    assert_eq!((last.kept(), last.total()), (0, 8), "counted, not kept");
    drop(all);
    assert_eq!(HELD.load(Ordering::Relaxed), before);
}
