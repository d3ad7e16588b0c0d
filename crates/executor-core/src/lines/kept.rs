//! The lines of one execution that are kept: the first ones in a quarter of the room, the last ones in the
//! rest.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::plain::target_word;
use super::{LINES_MAX_BYTES, Line, LineKind, write_line};
use crate::redact::{Redactor, TextKind};

/// The part of the room that the first lines have.
const HEAD_BYTES: usize = LINES_MAX_BYTES / 4;

/// The room for the lines of all running executions together.
pub(super) const ALL_MAX_BYTES: usize = 64 * 1_024 * 1_024;

/// What a line costs besides its texts where it is stored: time, kind and separators.
const LINE_COST: usize = 24;

/// What a line takes in memory besides its texts: itself, and the two allocations for them.
const LINE_MEMORY: usize = size_of::<Said>() + 32;

/// What the lines of all running executions take.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Returns what the lines of all running executions take.
pub(super) fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// Returns whether the lines of all running executions take all the room that there is.
pub(super) fn is_full() -> bool {
    held() >= ALL_MAX_BYTES
}

/// A line that was said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Its number, from 1.
    pub(super) number: u64,
    pub(super) at: Instant,
    pub(super) kind: LineKind,
    pub(super) target: Box<str>,
    pub(super) text: Box<str>,
    pub(super) is_unfinished: bool,
}

impl Said {
    fn cost(&self) -> usize {
        self.target.len() + self.text.len() + LINE_COST
    }

    fn memory(&self) -> usize {
        self.target.len() + self.text.len() + LINE_MEMORY
    }

    /// Removes at least `surplus` bytes from the beginning of its text, between characters.
    fn keep_end(&mut self, surplus: usize) {
        let is_boundary = |at: &usize| self.text.is_char_boundary(*at);
        let from = (surplus.min(self.text.len())..).find(is_boundary);
        self.text = self.text[from.unwrap_or(self.text.len())..].into();
    }

    /// Writes it with its time since `begun`. Redaction happens here, before anything leaves the execution.
    pub(super) fn write(&self, body: &mut String, begun: Instant, redactor: &Redactor) {
        let target = match self.target.is_empty() {
            true => String::new(),
            false => target_word(&redactor.apply(TextKind::Target, &self.target)),
        };
        let kept = redactor.apply(TextKind::Line, &self.text);
        let text = if kept.contains(['\n', '\0']) {
            Cow::Owned(kept.replace(['\n', '\0'], "\u{fffd}"))
        } else {
            kept
        };
        let line = Line {
            after: self.at.saturating_duration_since(begun),
            kind: self.kind,
            target: &target,
            text: &text,
            is_unfinished: self.is_unfinished,
        };
        write_line(body, &line);
    }
}

/// The lines that are kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    head: Vec<Said>,
    head_bytes: usize,
    /// No line is added to the head any more.
    head_is_full: bool,
    tail: VecDeque<Said>,
    tail_bytes: usize,
    /// Its part of [`HELD`].
    memory: usize,
}

impl Kept {
    pub(super) fn len(&self) -> u64 {
        self.head.len() as u64 + self.tail.len() as u64
    }

    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// Keeps a line as long as it is one of the first or one of the last.
    pub(super) fn add(&mut self, said: Said) {
        self.hold(said.memory());
        let cost = said.cost();
        self.head_is_full |= self.head_bytes + cost > HEAD_BYTES;
        if !self.head_is_full {
            self.head_bytes += cost;
            self.head.push(said);
            return;
        }
        self.tail_bytes += cost;
        self.tail.push_back(said);
        self.shorten_tail(LINES_MAX_BYTES - HEAD_BYTES);
    }

    /// Gives half of what it takes back to others: the older half of the last lines.
    pub(super) fn give_way(&mut self) {
        if self.tail.is_empty() {
            self.forget(|_| true);
        }
        self.head_is_full = true;
        self.shorten_tail(self.tail_bytes / 2);
    }

    /// Removes all lines for which `is_so` returns `true`.
    pub(super) fn forget(&mut self, is_so: impl Fn(&Said) -> bool) {
        let all = self.take_all();
        self.head_is_full = false;
        for said in all.into_iter().filter(|said| !is_so(said)) {
            self.add(said);
        }
    }

    /// Keeps only the last lines if there is room for fewer than usual.
    pub(super) fn shrink_to(&mut self, room: usize) {
        if room >= LINES_MAX_BYTES {
            return;
        }
        self.head_is_full = true;
        for said in self.take_all() {
            self.hold(said.memory());
            self.tail_bytes += said.cost();
            self.tail.push_back(said);
        }
        while self.tail_bytes > room && self.tail.len() > 1 {
            self.drop_first_of_tail();
        }
        let surplus = self.tail_bytes.saturating_sub(room);
        if surplus == 0 {
            return;
        }
        if let Some(mut last) = self.tail.pop_front() {
            self.tail_bytes -= last.cost();
            self.release(last.memory());
            last.keep_end(surplus);
            self.tail_bytes += last.cost();
            self.hold(last.memory());
            self.tail.push_front(last);
        }
    }

    /// Returns the lines after this number, the oldest first.
    pub(super) fn after(&self, number: u64) -> Vec<Said> {
        let all = self.head.iter().chain(&self.tail).rev();
        let mut new: Vec<Said> = all
            .take_while(|said| said.number > number)
            .cloned()
            .collect();
        new.reverse();
        new
    }

    /// Returns whether one of these lines is still kept.
    pub(super) fn has_any_of(&self, first: u64, last: u64) -> bool {
        let is_of_head = self.head.last().is_some_and(|said| first <= said.number);
        let is_of_tail = self.tail.front().is_some_and(|said| last >= said.number);
        is_of_head || is_of_tail
    }

    /// Writes the lines as one text that says where lines are left out, and how many of `total`.
    pub(super) fn body(&self, begun: Instant, total: u64, redactor: &Redactor) -> String {
        let mut body = String::with_capacity(self.head_bytes + self.tail_bytes);
        let (mut last, mut last_at) = (0, begun);
        for said in self.head.iter().chain(&self.tail) {
            leave_out(&mut body, said.number - last - 1, said.at, begun);
            said.write(&mut body, begun, redactor);
            (last, last_at) = (said.number, said.at);
        }
        leave_out(&mut body, total - last, last_at, begun);
        body
    }

    fn take_all(&mut self) -> Vec<Said> {
        self.release(self.memory);
        (self.head_bytes, self.tail_bytes) = (0, 0);
        self.head.drain(..).chain(self.tail.drain(..)).collect()
    }

    fn shorten_tail(&mut self, room: usize) {
        while self.tail_bytes > room {
            self.drop_first_of_tail();
        }
    }

    fn drop_first_of_tail(&mut self) {
        if let Some(gone) = self.tail.pop_front() {
            self.tail_bytes -= gone.cost();
            self.release(gone.memory());
        }
    }

    fn hold(&mut self, memory: usize) {
        self.memory += memory;
        HELD.fetch_add(memory, Ordering::Relaxed);
    }

    fn release(&mut self, memory: usize) {
        self.memory -= memory;
        HELD.fetch_sub(memory, Ordering::Relaxed);
    }
}

/// Says that lines are left out here, if they are.
fn leave_out(body: &mut String, count: u64, at: Instant, begun: Instant) {
    if count == 0 {
        return;
    }
    let text = match count {
        1 => "1 line left out".to_owned(),
        count => format!("{count} lines left out"),
    };
    let line = Line {
        after: at.saturating_duration_since(begun),
        kind: LineKind::LeftOut,
        target: "",
        text: &text,
        is_unfinished: false,
    };
    write_line(body, &line);
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.release(self.memory);
    }
}
