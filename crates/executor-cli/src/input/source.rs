//! Reads lines on dedicated threads, because opening a named pipe or reading any pipe blocks, and no runtime thread may
//! wait for that.

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

mod followed;

mod program;

mod socket;

use self::followed::Followed;
pub(crate) use self::program::Program;

/// The longest line that is kept, and shared by those that are being read at once; no handler could use a longer event.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes of lines that wait or run, besides the line that is being read; with it, 64 MiB.
const AHEAD_MAX_BYTES: usize = 48 * 1024 * 1024;
/// The most inputs.
pub(crate) const INPUTS_MAX: usize = 64;
/// Lines of an input that are read ahead.
const AHEAD: usize = 256;
/// A mark that some programs write first; it is not part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

type Sender = mpsc::Sender<io::Result<Line>>;

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

    #[cfg(test)]
    pub(crate) fn of(line: &str) -> Self {
        Self {
            bytes: line.as_bytes().into(),
            _room: None,
        }
    }
}

/// What is read.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Standard input, to its end.
    Standard,
    /// A file or a named pipe, to its end.
    File(PathBuf),
    /// A file from its end on, over rotation, or a named pipe of which each writer is followed by the next.
    Followed(PathBuf),
    /// A Unix socket that is made there; whoever connects writes lines.
    Socket(PathBuf),
    /// The output of a program, which is started again when it ends.
    Program(Program),
}

impl Input {
    /// Returns a file, or standard input if the path is `-`.
    pub(crate) fn to_the_end(path: &Path) -> Self {
        match path.as_os_str() == "-" {
            true => Self::Standard,
            false => Self::File(path.to_owned()),
        }
    }

    /// Returns whether it comes to an end by itself.
    pub(crate) const fn ends(&self) -> bool {
        matches!(self, Self::Standard | Self::File(_))
    }

    /// Returns what stands for it in messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Standard => "-".to_owned(),
            Self::File(path) | Self::Followed(path) | Self::Socket(path) => {
                path.display().to_string()
            }
            Self::Program(program) => program.argv[0].clone(),
        }
    }
}

/// The room for lines that wait or run, which all inputs share.
#[derive(Clone)]
pub(crate) struct Ahead {
    room: Arc<Semaphore>,
    runtime: Handle,
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

    const fn shared_by(&self, inputs: u64) -> u64 {
        self.line_max / inputs
    }
}

/// Lines as they come, or the error that ends them.
pub(crate) type Lines = mpsc::Receiver<io::Result<Line>>;

/// Ends a program, or removes a socket, when it is dropped.
pub(crate) type Ending = Box<dyn Send>;

/// An input that is being read.
pub(crate) struct Reading {
    pub(crate) lines: Lines,
    /// Ends what was begun to read it, when it is dropped; that may take two seconds.
    pub(crate) ending: Option<Ending>,
}

/// Starts to read. A named pipe is opened by the thread: that waits for its writer.
pub(crate) fn read(input: Input, ahead: &Ahead) -> io::Result<Reading> {
    let (sender, lines) = mpsc::channel(AHEAD);
    let ahead = ahead.clone();
    // Each thread ends with its input, with its reader, or with the process.
    let ending: Option<Ending> = match input {
        Input::Standard => {
            spawn(move || pump(buffered(Standard(io::stdin())), &ahead, &sender))?;
            None
        }
        Input::File(path) => {
            let file = OneFile::of(&path)?;
            spawn(move || read_file(file.open(), &ahead, &sender))?;
            None
        }
        Input::Followed(path) => {
            refuse_directory(&path)?;
            spawn(move || read_file(Followed::open(path), &ahead, &sender))?;
            None
        }
        Input::Socket(path) => Some(Box::new(socket::listen(path, ahead, sender)?)),
        Input::Program(program) => Some(Box::new(program::run(program, ahead, sender)?)),
    };
    Ok(Reading { lines, ending })
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("events".into())
        .spawn(work)
        .map(drop)
}

fn buffered(source: impl Read) -> impl BufRead {
    BufReader::with_capacity(1 << 16, source)
}

fn read_file(file: io::Result<impl Read>, ahead: &Ahead, sender: &Sender) {
    match file {
        Ok(file) => pump(buffered(file), ahead, sender),
        // Nobody may want to know any more.
        Err(error) => drop(sender.blocking_send(Err(error))),
    }
}

fn refuse_directory(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(it) if it.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Ok(()),
    }
}

/// A file that is open, or a named pipe that is not.
enum OneFile {
    Open(File),
    Pipe(PathBuf),
}

impl OneFile {
    fn of(path: &Path) -> io::Result<Self> {
        refuse_directory(path)?;
        if fs::metadata(path)?.file_type().is_fifo() {
            return Ok(Self::Pipe(path.to_owned()));
        }
        File::open(path).map(Self::Open)
    }

    fn open(self) -> io::Result<File> {
        match self {
            Self::Open(file) => Ok(file),
            Self::Pipe(path) => File::open(path),
        }
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

/// Reads lines until the source or its reader ends.
fn pump(mut source: impl BufRead, ahead: &Ahead, sender: &Sender) {
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
