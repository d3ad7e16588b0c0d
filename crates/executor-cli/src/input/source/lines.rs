//! Lines of an input, read on a thread: no runtime thread may wait for a file or a pipe.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The longest line that is kept, and shared by those that are being read at once; no handler could use a longer event.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes of lines that wait or run, besides the line that is being read; with it, 64 MiB.
const AHEAD_MAX_BYTES: usize = 48 * 1024 * 1024;
/// The most inputs.
pub(crate) const INPUTS_MAX: usize = 64;
/// Lines of an input that are read ahead.
pub(super) const AHEAD: usize = 256;
/// A mark that some programs write first; it is not part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

pub(super) type Sender = mpsc::Sender<io::Result<Line>>;

/// One line without its end.
#[derive(Debug)]
pub(crate) enum Line {
    Text(Text),
    /// Longer than may be, which is this many bytes; skipped to its end.
    TooLong(u64),
}

/// A line's bytes. While it is there they count as read ahead.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Box<[u8]>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Text {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The room for lines that wait or run, which all inputs share.
#[derive(Clone)]
pub(crate) struct Ahead {
    room: Arc<Semaphore>,
    pub(super) runtime: Handle,
    line_max: u64,
}

impl Ahead {
    /// Returns the room for this many inputs, which share the length of the lines that are being read.
    pub(crate) fn of(inputs: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(AHEAD_MAX_BYTES)),
            runtime: Handle::current(),
            line_max: LINE_MAX_BYTES / inputs.clamp(1, INPUTS_MAX) as u64,
        }
    }

    /// Waits until there is room for these bytes.
    fn take(&self, bytes: Vec<u8>) -> Text {
        // The permits of a whole line fit into 32 bits, and nobody closes the semaphore.
        let claim = Arc::clone(&self.room).acquire_many_owned(bytes.len() as u32);
        Text {
            bytes: bytes.into_boxed_slice(),
            _room: self.runtime.block_on(claim).ok(),
        }
    }

    /// Returns the room for one of several parts of an input, which share its longest line.
    pub(super) fn shared_by(&self, parts: u64) -> Self {
        Self {
            line_max: self.line_max / parts,
            ..self.clone()
        }
    }
}

/// Lines as they come, or the error that ends them.
pub(crate) type Lines = mpsc::Receiver<io::Result<Line>>;

pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("events".into())
        .spawn(work)
        .map(drop)
}

pub(super) fn buffered(source: impl Read) -> impl BufRead {
    BufReader::with_capacity(1 << 16, source)
}

/// Reads lines until the source or its reader ends.
pub(super) fn pump(mut source: impl BufRead, ahead: &Ahead, sender: &Sender) {
    let mut is_first = true;
    loop {
        let next = next_line(&mut source, ahead.line_max).transpose();
        let Some(next) = next else { return };
        let line = next.map(|bytes| match bytes {
            None => Line::TooLong(ahead.line_max),
            Some(bytes) if is_first && bytes.starts_with(BYTE_ORDER_MARK) => {
                Line::Text(ahead.take(bytes[BYTE_ORDER_MARK.len()..].to_vec()))
            }
            Some(bytes) => Line::Text(ahead.take(bytes)),
        });
        is_first = false;
        let failed = line.is_err();
        if sender.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

/// Returns the next line; `Some(None)` stands for one that is too long.
pub(super) fn next_line(
    source: &mut impl BufRead,
    max: u64,
) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut bytes = Vec::new();
    let read = source
        .by_ref()
        .take(max + 1)
        .read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    let ends_here = bytes.last() == Some(&b'\n');
    if ends_here {
        bytes.pop();
    } else if read as u64 > max {
        source.skip_until(b'\n')?;
        return Ok(Some(None));
    }
    Ok(Some(Some(bytes)))
}

#[cfg(test)]
mod tests;
