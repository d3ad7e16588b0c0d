//! Collects the lines of a running execution.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::kept::{Kept, Said};
use super::plain::{cut, plain};
use super::splitter::Splitter;
use super::{LineKind, LinePolicy, Lines};
use crate::ports::Ticket;
use crate::redact::Redactor;

/// The time after which an unfinished line counts as a line.
const UNFINISHED_AFTER: Duration = Duration::from_secs(1);

/// The streams of a program.
const STREAMS: [LineKind; 2] = [LineKind::Stdout, LineKind::Stderr];

/// The lines of one running execution.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    kept: Kept,
    total: u64,
    total_bytes: u64,
    /// The unfinished lines of a program's standard output and standard error.
    streams: [Stream; 2],
    /// The part of it that has been handed to the sink.
    flushed: Flushed,
    /// Its execution has ended: what is said later by tasks and threads that it left behind is not kept.
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Stream {
    splitter: Splitter,
    /// The time of its last bytes.
    heard_at: Option<Instant>,
}

/// The lines of a running execution that were handed to the sink, in pieces.
#[derive(Debug, Default)]
struct Flushed {
    /// The number of the last line.
    to: u64,
    pieces: VecDeque<Piece>,
    /// The tickets of pieces of which nothing is kept any more.
    outdated: Vec<Ticket>,
}

#[derive(Debug)]
struct Piece {
    ticket: Ticket,
    first: u64,
    last: u64,
}

/// The lines that have not been handed to the sink yet.
#[derive(Debug)]
pub(crate) struct Fresh {
    said: Vec<Said>,
    total: u64,
    total_bytes: u64,
    is_binary: bool,
}

impl Fresh {
    /// The time of the first of them.
    pub(crate) fn first_at(&self) -> Instant {
        self.said[0].at
    }

    /// Returns them with their times since the first.
    pub(crate) fn lines(&self, redactor: &Redactor) -> Lines {
        let (begun, mut body) = (self.first_at(), String::new());
        for said in &self.said {
            said.write(&mut body, begun, redactor);
        }
        let kept = self.said.len() as u64;
        Lines::from_parts(kept, self.total, self.total_bytes, self.is_binary, body)
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
        let target = cut(target);
        for line in text.lines() {
            self.total_bytes += line.len() as u64 + 1;
            self.add(at, kind, &target, &plain(&cut(line)), false);
        }
    }

    /// Adds what a program has printed.
    pub(crate) fn print(&mut self, kind: LineKind, bytes: &[u8]) {
        if self.is_closed {
            return;
        }
        let now = Instant::now();
        self.finish_stale(now);
        // A program has no other streams, and what the handler logged must not be taken for one.
        let stream = usize::from(kind == LineKind::Stderr);
        self.total_bytes += bytes.len() as u64;
        self.streams[stream].heard_at = Some(now);
        let splitter = &mut self.streams[stream].splitter;
        let was_binary = splitter.is_binary();
        let lines = splitter.push(bytes);
        if splitter.is_binary() {
            if !was_binary {
                self.forget(STREAMS[stream]);
            }
            return;
        }
        for line in lines {
            self.add_printed(now, stream, &line, false);
        }
    }

    fn add_printed(&mut self, at: Instant, stream: usize, line: &[u8], is_unfinished: bool) {
        let text = plain(&String::from_utf8_lossy(line));
        self.add(at, STREAMS[stream], "", &text, is_unfinished);
    }

    fn add(&mut self, at: Instant, kind: LineKind, target: &str, text: &str, is_unfinished: bool) {
        self.total += 1;
        self.kept.add(Said {
            number: self.total,
            at,
            kind,
            target: target.into(),
            text: text.into(),
            is_unfinished,
        });
    }

    /// Turns what has waited for its end for a second into lines.
    fn finish_stale(&mut self, now: Instant) {
        for stream in 0..STREAMS.len() {
            let heard_at = self.streams[stream].heard_at;
            if heard_at.is_some_and(|at| now.saturating_duration_since(at) >= UNFINISHED_AFTER) {
                self.finish_stream(stream, heard_at.unwrap_or(now));
            }
        }
    }

    fn finish_stream(&mut self, stream: usize, at: Instant) {
        self.streams[stream].heard_at = None;
        if let Some(rest) = self.streams[stream].splitter.take_rest() {
            self.add_printed(at, stream, &rest, true);
        }
    }

    /// Removes the lines of a stream that turned out not to be text, including those that were handed over.
    fn forget(&mut self, kind: LineKind) {
        self.kept.forget(|said| said.kind == kind);
        let pieces = self.flushed.pieces.drain(..);
        self.flushed
            .outdated
            .extend(pieces.map(|piece| piece.ticket));
        self.flushed.to = 0;
    }

    /// Returns the memory that its lines take.
    pub(super) const fn memory(&self) -> usize {
        self.kept.memory()
    }

    /// Gives half of that memory back to others.
    pub(super) fn give_way(&mut self) {
        self.kept.give_way();
    }

    /// Returns whether a program has printed anything.
    fn has_printed(&self) -> bool {
        self.streams.iter().any(|stream| stream.splitter.has_seen())
    }

    fn is_binary(&self) -> bool {
        self.streams
            .iter()
            .any(|stream| stream.splitter.is_binary())
    }

    /// Returns the lines since the last call.
    pub(crate) fn fresh(&mut self, now: Instant) -> Option<Fresh> {
        if self.is_closed {
            return None;
        }
        self.finish_stale(now);
        let said = self.kept.after(self.flushed.to);
        (!said.is_empty()).then(|| Fresh {
            said,
            total: self.total,
            total_bytes: self.total_bytes,
            is_binary: self.is_binary(),
        })
    }

    /// Notes that the sink has taken fresh lines. Returns the ticket if the execution has ended meanwhile.
    pub(crate) fn handed_over(&mut self, fresh: &Fresh, ticket: Ticket) -> Result<(), Ticket> {
        if self.is_closed {
            return Err(ticket);
        }
        let (first, last) = (fresh.said[0].number, fresh.total);
        self.flushed.to = last;
        self.flushed.pieces.push_back(Piece {
            ticket,
            first,
            last,
        });
        Ok(())
    }

    /// Takes the tickets of pieces of which nothing is kept any more.
    pub(crate) fn take_outdated(&mut self) -> Vec<Ticket> {
        let (kept, outdated) = (&self.kept, &mut self.flushed.outdated);
        self.flushed.pieces.retain(|piece| {
            let is_kept = kept.has_any_of(piece.first, piece.last);
            if !is_kept {
                outdated.push(piece.ticket);
            }
            is_kept
        });
        std::mem::take(outdated)
    }

    /// Takes the tickets of all pieces.
    pub(crate) fn take_tickets(&mut self) -> Vec<Ticket> {
        let pieces = self.flushed.pieces.drain(..).map(|piece| piece.ticket);
        let mut tickets = std::mem::take(&mut self.flushed.outdated);
        tickets.extend(pieces);
        tickets
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
        let now = Instant::now();
        for stream in 0..STREAMS.len() {
            self.finish_stream(stream, now);
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
        self.kept.shrink_to(room);
        Some(self.lines(begun, redactor))
    }

    fn lines(&self, begun: Instant, redactor: &Redactor) -> Lines {
        let body = self.kept.body(begun, self.total, redactor);
        Lines::from_parts(
            self.kept.len(),
            self.total,
            self.total_bytes,
            self.is_binary(),
            body,
        )
    }
}

impl Lines {
    /// Joins what [`RecordSink::said`](crate::RecordSink::said) was given of one execution, in that order, each with
    /// the time from the beginning of the execution to the first line of the piece. `None` if nothing was said.
    ///
    /// ```
    /// use std::time::Duration;
    /// use executor_core::lines::Lines;
    ///
    /// let first = Lines::from_parts(1, 1, 8, false, "0 I [] one\n");
    /// let second = Lines::from_parts(1, 9, 99, false, "0 I [] nine\n");
    /// let pieces = [(Duration::from_micros(5), &first), (Duration::from_secs(2), &second)];
    /// let lines = Lines::joined(pieces.into_iter()).expect("something was said");
    /// assert_eq!(lines.to_string(), "one\n7 lines left out\nnine\n");
    /// assert_eq!((lines.kept(), lines.total()), (2, 9));
    /// ```
    pub fn joined<'p>(pieces: impl Iterator<Item = (Duration, &'p Self)>) -> Option<Self> {
        let (begun, mut buffer, mut is_binary) = (Instant::now(), LineBuffer::default(), false);
        for (after, piece) in pieces {
            // What was said before the piece, but is neither in it nor in the last one, was displaced.
            buffer.total = buffer.total.max(piece.total().saturating_sub(piece.kept()));
            for line in piece.iter() {
                let at = begun + after + line.after;
                buffer.add(at, line.kind, line.target, line.text, line.is_unfinished);
            }
            buffer.total = piece.total().max(buffer.total);
            buffer.total_bytes = piece.total_bytes();
            is_binary |= piece.is_binary();
        }
        let mut lines = buffer.lines(begun, &Redactor::NONE);
        lines.is_binary = is_binary;
        (lines.total() > 0).then_some(lines)
    }
}

#[cfg(test)]
pub(super) mod tests;
