//! Reads lines from a file or from standard input on a dedicated thread, because opening a named pipe or reading any
//! pipe blocks, and no runtime thread may wait for that.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The longest line that is kept; no handler could use a longer event.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes of lines that wait or run, besides the line that is being read; with it, 64 MiB.
const AHEAD_MAX_BYTES: usize = 48 * 1024 * 1024;
/// Lines read ahead.
const AHEAD: usize = 256;
/// A mark that some programs write first; it is not part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One line without its end.
#[derive(Debug)]
pub(crate) enum Line {
    Text(Text),
    /// More than 16 MiB; skipped to its end.
    TooLong,
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

    #[cfg(test)]
    pub(crate) fn of(line: &str) -> Self {
        Self {
            bytes: line.as_bytes().into(),
            _room: None,
        }
    }
}

/// Starts to read. `-` is standard input. A named pipe is opened by the thread: that waits for its writer.
pub(crate) fn read(path: &Path) -> io::Result<mpsc::Receiver<io::Result<Line>>> {
    let source = Source::of(path)?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let room = Arc::new(Semaphore::new(AHEAD_MAX_BYTES));
    let runtime = Handle::current();
    let ahead = move |bytes: Vec<u8>| {
        // The permits of a whole line fit into 32 bits, and nobody closes the semaphore.
        let claim = Arc::clone(&room).acquire_many_owned(bytes.len() as u32);
        Text {
            bytes: bytes.into_boxed_slice(),
            _room: runtime.block_on(claim).ok(),
        }
    };
    // The thread ends with the input, with its reader, or with the process.
    thread::Builder::new()
        .name("events".into())
        .spawn(move || match source.open() {
            Ok(source) => pump(BufReader::with_capacity(1 << 16, source), &ahead, &sender),
            Err(error) => {
                // Nobody may want to know any more.
                let _ = sender.blocking_send(Err(error));
            }
        })?;
    Ok(receiver)
}

enum Source {
    Standard,
    Open(File),
    Pipe(PathBuf),
}

impl Source {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Standard);
        }
        let kind = fs::metadata(path)?.file_type();
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if kind.is_fifo() {
            return Ok(Self::Pipe(path.to_owned()));
        }
        File::open(path).map(Self::Open)
    }

    fn open(self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Standard => Box::new(Standard(io::stdin())),
            Self::Open(file) => Box::new(file),
            Self::Pipe(path) => Box::new(File::open(path)?),
        })
    }
}

/// Standard input. A process that shares it may have made it non-blocking; then this polls for input.
struct Standard(io::Stdin);

impl Read for Standard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None) {
                        Err(Errno::INTR) => {}
                        waited => drop(waited?),
                    }
                }
                read => return read,
            }
        }
    }
}

fn pump(
    mut source: impl BufRead,
    ahead: &impl Fn(Vec<u8>) -> Text,
    sender: &mpsc::Sender<io::Result<Line>>,
) {
    let mut is_first = true;
    loop {
        let next = next_line(&mut source, LINE_MAX_BYTES).transpose();
        let Some(next) = next else { return };
        let line = next.map(|bytes| match bytes {
            None => Line::TooLong,
            Some(bytes) if is_first && bytes.starts_with(BYTE_ORDER_MARK) => {
                Line::Text(ahead(bytes[BYTE_ORDER_MARK.len()..].to_vec()))
            }
            Some(bytes) => Line::Text(ahead(bytes)),
        });
        is_first = false;
        let failed = line.is_err();
        if sender.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

/// Returns the next line; `Some(None)` stands for one that is too long.
fn next_line(source: &mut impl BufRead, max: u64) -> io::Result<Option<Option<Vec<u8>>>> {
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
