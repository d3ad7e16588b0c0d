//! Captures a program's output: reads all of it, so the program never waits for us, and keeps only the last part.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::context;
use crate::lines::LineKind;

/// The last bytes of a stream.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    state: Arc<Mutex<State>>,
    max_bytes: usize,
    /// The stream, as the execution's lines name it; `None` if nobody listens any more.
    kind: Option<LineKind>,
}

#[derive(Debug, Default)]
struct State {
    last: VecDeque<u8>,
    total: u64,
}

impl Tail {
    pub(super) fn new(kind: LineKind, max_bytes: usize) -> Self {
        Self {
            state: Arc::default(),
            max_bytes,
            kind: Some(kind),
        }
    }

    /// Reads and forgets everything.
    pub(super) fn ignored() -> Self {
        Self {
            state: Arc::default(),
            max_bytes: 0,
            kind: None,
        }
    }

    /// Reads to the end. Dropping the future keeps everything read so far.
    pub(super) async fn read(&self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; 4_096];
        // A stream that cannot be read has come to its end.
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if let Some(kind) = self.kind {
                context::print(kind, &buffer[..count]);
            }
            self.push(&buffer[..count]);
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.total += bytes.len() as u64;
        state.last.extend(bytes);
        let surplus = state.last.len().saturating_sub(self.max_bytes);
        state.last.drain(..surplus);
    }

    /// Returns the text, with a note of how much is missing; `None` if there was none.
    fn text(&self) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = state.total - state.last.len() as u64;
        let text = String::from_utf8_lossy(state.last.make_contiguous());
        let text = text.trim_end();
        match (text.is_empty(), missing) {
            (true, 0) => None,
            (false, 0) => Some(text.to_owned()),
            (_, missing) => Some(format!("… {missing} bytes before this …\n{text}")),
        }
    }
}

/// A program's standard output and standard error, as the cause of its failure.
#[derive(Debug)]
pub(super) struct Output {
    standard_output: Option<String>,
    standard_error: Option<String>,
}

impl Output {
    /// `None` if it wrote nothing.
    pub(super) fn of(standard_output: &Tail, standard_error: &Tail) -> Option<Self> {
        let output = Self {
            standard_output: standard_output.text(),
            standard_error: standard_error.text(),
        };
        let is_empty = output.standard_output.is_none() && output.standard_error.is_none();
        (!is_empty).then_some(output)
    }
}

impl fmt::Display for Output {
    /// Writes standard error last, because a report always keeps its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = [
            ("standard output", &self.standard_output),
            ("standard error", &self.standard_error),
        ];
        let mut streams = streams
            .iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        if let Some((name, text)) = streams.next() {
            write!(f, "{name}:\n{text}")?;
        }
        streams.try_for_each(|(name, text)| write!(f, "\n{name}:\n{text}"))
    }
}

impl std::error::Error for Output {}

#[cfg(test)]
mod tests;
