//! Tests of `buffer.rs`.

use std::sync::Mutex;

use proptest::prelude::*;

use super::super::LINES_MAX_BYTES;
use super::super::kept::held;
use super::*;

/// The room of all executions is shared: these tests look at it.
pub(in super::super) static ALONE: Mutex<()> = Mutex::new(());

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
    assert_eq!(texts[0], "1 line left out");
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
    let before = held();
    buffer.log(LineKind::Info, "", "too late");
    buffer.print(LineKind::Stdout, b"too late\n");
    assert_eq!(held(), before);
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
    assert_eq!(texts(&lines), ["logged", "1 line left out", "a warning"]);
}

/// Hands over as a flusher does and keeps the pieces as a sink does.
#[derive(Default)]
struct Sink(Vec<(Ticket, Duration, Lines)>, u64);

impl Sink {
    fn flush(&mut self, buffer: &mut LineBuffer, begun: Instant) {
        if let Some(fresh) = buffer.fresh(Instant::now()) {
            self.1 += 1;
            let ticket = Ticket::new([self.1, 0, 0]);
            let after = fresh.first_at() - begun;
            self.0.push((ticket, after, fresh.lines(&Redactor::NONE)));
            buffer.handed_over(&fresh, ticket).expect("it runs");
        }
        self.forget(&buffer.take_outdated());
    }

    fn forget(&mut self, tickets: &[Ticket]) {
        let before = self.0.len();
        self.0.retain(|(ticket, ..)| !tickets.contains(ticket));
        assert_eq!(
            self.0.len() + tickets.len(),
            before,
            "each is forgotten once"
        );
    }

    fn joined(&self) -> Option<Lines> {
        let pieces = self.0.iter().map(|(_, after, lines)| (*after, lines));
        Lines::joined(pieces)
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(.., lines)| lines.body().len()).sum()
    }
}

proptest! {
    #[test]
    fn a22_what_was_handed_over_in_pieces_is_what_would_be_kept_at_the_end(
        said in prop::collection::vec((0..900_usize, any::<bool>()), 0..300),
    ) {
        let _alone = ALONE.lock();
        let (begun, mut buffer, mut sink) = (Instant::now(), LineBuffer::default(), Sink::default());
        for (number, (length, flushes)) in said.iter().enumerate() {
            buffer.log(LineKind::Info, "house", &format!("{number} {}", "x".repeat(*length)));
            if *flushes {
                sink.flush(&mut buffer, begun);
            }
            prop_assert!(sink.bytes() < 4 * LINES_MAX_BYTES, "what is displaced goes");
        }
        sink.flush(&mut buffer, begun);
        let joined = sink.joined();
        sink.forget(&buffer.take_tickets());
        prop_assert!(sink.0.is_empty(), "at the end all go");
        let kept = buffer.finish(begun, Some(LinePolicy::All), FAILED, &Redactor::NONE);
        let counts = |lines: &Option<Lines>| lines.as_ref().map(|lines| (lines.total(), lines.total_bytes()));
        prop_assert_eq!(counts(&joined), counts(&kept));
        // The pieces may hold a little more: whole pieces go, and not lines.
        let said = |lines: &Option<Lines>| -> Vec<String> {
            let all = lines.iter().flat_map(Lines::iter);
            let said = all.filter(|line| line.kind != LineKind::LeftOut);
            said.map(|line| line.text.to_owned()).collect()
        };
        let (joined, kept) = (said(&joined), said(&kept));
        prop_assert!(kept.iter().all(|line| joined.contains(line)), "{} of {}", joined.len(), kept.len());
        prop_assert!(joined.len() <= kept.len() + 40);
        prop_assert!(joined.is_sorted_by_key(|line| line.split(' ').next().and_then(|n| n.parse::<u64>().ok())));
    }
}

#[test]
fn a22_lines_that_are_handed_over_after_the_end_go_at_once() {
    let _alone = ALONE.lock();
    let mut buffer = LineBuffer::default();
    buffer.log(LineKind::Info, "", "said");
    let fresh = buffer.fresh(Instant::now()).unwrap();
    drop(buffer.take());
    let ticket = Ticket::new([1, 2, 3]);
    assert_eq!(buffer.handed_over(&fresh, ticket), Err(ticket));
    assert!(buffer.fresh(Instant::now()).is_none());
}

#[test]
fn a22_what_was_handed_over_of_an_output_that_is_binary_goes() {
    let _alone = ALONE.lock();
    let (begun, mut buffer, mut sink) = (Instant::now(), LineBuffer::default(), Sink::default());
    buffer.log(LineKind::Info, "", "logged");
    buffer.print(LineKind::Stdout, b"PNG\n");
    sink.flush(&mut buffer, begun);
    buffer.print(LineKind::Stdout, b"\0\0\n");
    sink.flush(&mut buffer, begun);
    let joined = sink.joined().unwrap();
    assert!(joined.is_binary());
    assert_eq!(texts(&joined), ["1 line left out", "logged"]);
}

#[tokio::test(start_paused = true)]
async fn a22_an_unfinished_line_is_kept_after_a_second_and_marked() {
    let _alone = ALONE.lock();
    let mut buffer = LineBuffer::default();
    buffer.print(LineKind::Stdout, b"40 %");
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(buffer.fresh(Instant::now()).is_none());
    tokio::time::advance(Duration::from_millis(1)).await;
    let fresh = buffer.fresh(Instant::now()).unwrap();
    let lines = fresh.lines(&Redactor::NONE);
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line.text, line.is_unfinished))
        .collect();
    assert_eq!(found, [("40 %", true)]);
    // What follows a second later is a line of its own; what follows sooner is not.
    buffer.print(LineKind::Stdout, b" done");
    tokio::time::advance(Duration::from_secs(1)).await;
    buffer.print(LineKind::Stdout, b"next");
    buffer.print(LineKind::Stdout, b" one\n");
    let lines = finish(buffer, FAILED, None).unwrap();
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line.text, line.is_unfinished))
        .collect();
    assert_eq!(
        found,
        [("40 %", true), (" done", true), ("next one", false)]
    );
}
