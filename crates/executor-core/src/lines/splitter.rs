//! Splits a program's output into lines, however long they are.

use std::collections::VecDeque;

use super::LINE_MAX_BYTES;

/// What is kept of each end of a line.
const HALF: usize = LINE_MAX_BYTES / 2 - 32;

/// The part of an output that decides whether it is text.
const LOOKED_AT: u64 = 4_096;

/// The unfinished last line of a stream.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
    /// The last byte was a CR: the line begins anew unless an LF follows.
    restarts: bool,
    seen: u64,
    is_binary: bool,
}

impl Splitter {
    pub(super) const fn has_seen(&self) -> bool {
        self.seen > 0
    }

    pub(super) const fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// Takes bytes and returns the lines that they finish.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let looked_at = LOOKED_AT.saturating_sub(self.seen);
        let looked_at = usize::try_from(looked_at).unwrap_or(0).min(bytes.len());
        self.is_binary |= bytes[..looked_at].contains(&0);
        self.seen += bytes.len() as u64;
        if self.is_binary {
            self.clear();
            return Vec::new();
        }
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    lines.push(self.take());
                    self.restarts = false;
                }
                b'\r' => self.restarts = true,
                byte => {
                    if std::mem::take(&mut self.restarts) {
                        self.clear();
                    }
                    self.add(*byte);
                }
            }
        }
        lines
    }

    /// Returns the line that no end follows, if there is one.
    pub(super) fn take_rest(&mut self) -> Option<Vec<u8>> {
        let rest = self.take();
        (!rest.is_empty()).then_some(rest)
    }

    fn add(&mut self, byte: u8) {
        if self.head.len() < HALF {
            self.head.push(byte);
            return;
        }
        self.tail.push_back(byte);
        if self.tail.len() > HALF {
            self.tail.pop_front();
            self.left_out += 1;
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.head);
        if self.left_out > 0 {
            while std::str::from_utf8(&line).is_err_and(|error| error.error_len().is_none()) {
                line.pop();
            }
            while self.tail.front().is_some_and(|byte| byte & 0xC0 == 0x80) {
                self.tail.pop_front();
            }
            line.extend_from_slice(format!("…({} bytes left out)…", self.left_out).as_bytes());
        }
        line.extend(self.tail.drain(..));
        self.left_out = 0;
        line
    }

    fn clear(&mut self) {
        self.head.clear();
        self.tail.clear();
        self.left_out = 0;
    }
}

#[cfg(test)]
mod tests;
