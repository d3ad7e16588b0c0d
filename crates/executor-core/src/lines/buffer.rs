//! Collects the lines of a running execution within bounds.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::splitter::Splitter;
use super::{LINE_MAX_BYTES, LINES_MAX_BYTES, Line, LineKind, LinePolicy, Lines, write_line};
use crate::redact::{Redactor, TextKind};

/// The part of the room that the first lines have.
const HEAD_BYTES: usize = LINES_MAX_BYTES / 4;

/// The room for the lines of all running executions together.
const ALL_MAX_BYTES: usize = 64 * 1_024 * 1_024;

/// What a line costs beside its texts: time, kind and separators.
const LINE_COST: usize = 24;

/// What the lines of all running executions take.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The lines of one running execution.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    head: Vec<Said>,
    head_bytes: usize,
    tail: VecDeque<Said>,
    tail_bytes: usize,
    total: u64,
    total_bytes: u64,
    /// The unfinished lines of a program's standard output and standard error.
    streams: [Splitter; 2],
    /// Its execution has ended: what tasks and threads that it left behind say later is kept nowhere.
    is_closed: bool,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    kind: LineKind,
    target: Box<str>,
    text: Box<str>,
    is_unfinished: bool,
}

impl Said {
    fn cost(&self) -> usize {
        self.target.len() + self.text.len() + LINE_COST
    }

    /// Removes at least `surplus` bytes from the beginning of its text, between characters.
    fn keep_end(&mut self, surplus: usize) {
        let is_boundary = |at: &usize| self.text.is_char_boundary(*at);
        let from = (surplus.min(self.text.len())..).find(is_boundary);
        self.text = self.text[from.unwrap_or(self.text.len())..].into();
    }
}

impl LineBuffer {
    /// Takes what was said and closes the buffer.
    pub(crate) fn take(&mut self) -> Self {
        let taken = std::mem::take(self);
        self.is_closed = true;
        taken
    }

    /// Adds what was logged, a line for each of its lines.
    pub(crate) fn log(&mut self, kind: LineKind, target: &str, text: &str) {
        if self.is_closed {
            return;
        }
        let at = Instant::now();
        for line in text.lines() {
            self.total_bytes += line.len() as u64 + 1;
            self.add(Said {
                at,
                kind,
                target: target.replace([' ', ']', '\n'], "_").into(),
                text: plain(&cut(line)).into(),
                is_unfinished: false,
            });
        }
    }

    /// Adds what a program has printed.
    pub(crate) fn print(&mut self, kind: LineKind, bytes: &[u8]) {
        if self.is_closed {
            return;
        }
        // A program has no other streams, and what the handler logged is not to be taken for one.
        let (stream, kind) = match kind {
            LineKind::Stderr => (1, kind),
            _ => (0, LineKind::Stdout),
        };
        self.total_bytes += bytes.len() as u64;
        let was_binary = self.streams[stream].is_binary();
        let lines = self.streams[stream].push(bytes);
        if self.streams[stream].is_binary() {
            if !was_binary {
                self.forget(kind);
            }
            return;
        }
        for line in lines {
            self.add_printed(kind, &line, false);
        }
    }

    fn add_printed(&mut self, kind: LineKind, line: &[u8], is_unfinished: bool) {
        let text = String::from_utf8_lossy(line);
        self.add(Said {
            at: Instant::now(),
            kind,
            target: Box::default(),
            text: plain(&text).into(),
            is_unfinished,
        });
    }

    /// Removes the lines of a stream that turned out not to be text.
    fn forget(&mut self, kind: LineKind) {
        let of_others = |said: &Said| said.kind != kind;
        let cost = |said: &Said| if said.kind == kind { said.cost() } else { 0 };
        let head: usize = self.head.iter().map(cost).sum();
        let tail: usize = self.tail.iter().map(cost).sum();
        self.head.retain(of_others);
        self.tail.retain(of_others);
        (self.head_bytes, self.tail_bytes) = (self.head_bytes - head, self.tail_bytes - tail);
        HELD.fetch_sub(head + tail, Ordering::Relaxed);
    }

    fn add(&mut self, said: Said) {
        self.total += 1;
        let cost = said.cost();
        if HELD.load(Ordering::Relaxed) + cost > ALL_MAX_BYTES {
            return;
        }
        HELD.fetch_add(cost, Ordering::Relaxed);
        if self.tail.is_empty() && self.head_bytes + cost <= HEAD_BYTES {
            self.head_bytes += cost;
            self.head.push(said);
            return;
        }
        self.tail_bytes += cost;
        self.tail.push_back(said);
        while self.tail_bytes > LINES_MAX_BYTES - HEAD_BYTES {
            self.drop_first_of_tail();
        }
    }

    fn drop_first_of_tail(&mut self) {
        if let Some(gone) = self.tail.pop_front() {
            self.tail_bytes -= gone.cost();
            HELD.fetch_sub(gone.cost(), Ordering::Relaxed);
        }
    }

    /// Returns whether a program has printed anything.
    fn has_printed(&self) -> bool {
        self.streams.iter().any(Splitter::has_seen)
    }

    /// Ends it with the execution. `room` says how many bytes a policy keeps after such an end; `None` if nothing is
    /// to be kept.
    pub(crate) fn finish(
        mut self,
        begun: Instant,
        policy: Option<LinePolicy>,
        room: impl Fn(LinePolicy) -> usize,
        redactor: &Redactor,
    ) -> Option<Lines> {
        for (stream, kind) in [LineKind::Stdout, LineKind::Stderr].into_iter().enumerate() {
            if let Some(rest) = self.streams[stream].take_rest() {
                self.add_printed(kind, &rest, true);
            }
        }
        let policy = policy.unwrap_or(if self.has_printed() {
            LinePolicy::Tail
        } else {
            LinePolicy::Failures
        });
        let room = room(policy);
        let is_silent = self.total == 0 && self.total_bytes == 0;
        if room == 0 || is_silent {
            return None;
        }
        self.shrink_to(room);
        let kept = self.head.len() as u64 + self.tail.len() as u64;
        let is_binary = self.streams.iter().any(Splitter::is_binary);
        let body = self.body(begun, kept, redactor);
        Some(Lines::from_parts(
            kept,
            self.total,
            self.total_bytes,
            is_binary,
            body,
        ))
    }

    /// Keeps only the last lines if there is room for fewer than usual.
    fn shrink_to(&mut self, room: usize) {
        if room >= LINES_MAX_BYTES {
            return;
        }
        let mut all: VecDeque<Said> = self.head.drain(..).chain(self.tail.drain(..)).collect();
        let mut bytes: usize = all.iter().map(Said::cost).sum();
        while bytes > room && all.len() > 1 {
            let Some(gone) = all.pop_front() else { break };
            bytes -= gone.cost();
            HELD.fetch_sub(gone.cost(), Ordering::Relaxed);
        }
        if let Some(last) = all.front_mut().filter(|_| bytes > room) {
            let before = last.cost();
            last.keep_end(bytes - room);
            bytes -= before - last.cost();
            HELD.fetch_sub(before - last.cost(), Ordering::Relaxed);
        }
        (self.head_bytes, self.tail_bytes) = (0, bytes);
        self.tail = all;
    }

    fn body(&self, begun: Instant, kept: u64, redactor: &Redactor) -> String {
        let mut body = String::with_capacity(self.head_bytes + self.tail_bytes);
        for said in &self.head {
            write_said(&mut body, said, begun, redactor);
        }
        let left_out = self.total - kept;
        if left_out > 0 {
            let at = self.tail.front().map_or(begun, |said| said.at);
            let text = format!("{left_out} lines left out");
            write_line(
                &mut body,
                &Line {
                    after: at.saturating_duration_since(begun),
                    kind: LineKind::LeftOut,
                    target: "",
                    text: &text,
                    is_unfinished: false,
                },
            );
        }
        for said in &self.tail {
            write_said(&mut body, said, begun, redactor);
        }
        body
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        HELD.fetch_sub(self.head_bytes + self.tail_bytes, Ordering::Relaxed);
    }
}

fn write_said(body: &mut String, said: &Said, begun: Instant, redactor: &Redactor) {
    let kept = redactor.apply(TextKind::Line, &said.text);
    let text = if kept.contains(['\n', '\0']) {
        Cow::Owned(kept.replace(['\n', '\0'], "\u{fffd}"))
    } else {
        kept
    };
    let line = Line {
        after: said.at.saturating_duration_since(begun),
        kind: said.kind,
        target: &said.target,
        text: &text,
        is_unfinished: said.is_unfinished,
    };
    write_line(body, &line);
}

/// Cuts a long line in the middle, between characters.
fn cut(line: &str) -> Cow<'_, str> {
    if line.len() <= LINE_MAX_BYTES {
        return Cow::Borrowed(line);
    }
    let half = LINE_MAX_BYTES / 2 - 32;
    let is_boundary = |at: &usize| line.is_char_boundary(*at);
    let head = (0..=half).rev().find(is_boundary).unwrap_or(0);
    let tail = (line.len() - half..).find(is_boundary);
    let tail = tail.unwrap_or(line.len());
    let left_out = tail - head;
    Cow::Owned(format!(
        "{}…({left_out} bytes left out)…{}",
        &line[..head],
        &line[tail..]
    ))
}

/// Removes escape sequences and control characters.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => skip_escape(&mut rest),
            '\t' => plain.push('\t'),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
}

/// Skips what follows an escape character: a sequence that ends with a letter, or a command up to a bell or a string
/// terminator.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => while rest.next().is_some_and(|char| !('@'..='~').contains(&char)) {},
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(char) = rest.next() {
                if char == '\u{7}' {
                    break;
                }
                if char == '\u{1b}' {
                    rest.next();
                    break;
                }
            }
        }
        // A sequence of two more, such as one that selects a character set.
        Some(' '..='/') => drop(rest.next()),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
