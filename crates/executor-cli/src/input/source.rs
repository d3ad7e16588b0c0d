//! Opens inputs and reads their lines on dedicated threads, because opening a named pipe or reading any pipe blocks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

pub(crate) mod ending;

mod followed;

pub(crate) mod lines;

mod program;

mod socket;

use self::ending::Endings;
use self::followed::Followed;
use self::lines::{AHEAD, Ahead, Lines, Sender, buffered, pump, spawn};
pub(crate) use self::program::Program;

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
            Self::Program(program) => format!("the program `{}`", program.argv[0]),
        }
    }
}

/// Starts to read, on a thread: opening a named pipe waits for its writer. What has to be ended is added to the endings.
pub(crate) fn read(input: Input, ahead: &Ahead, endings: &mut Endings) -> io::Result<Lines> {
    let (sender, lines) = mpsc::channel(AHEAD);
    let ahead = ahead.clone();
    // Each thread ends with its input, with its reader, or with the process.
    match input {
        Input::Standard => {
            spawn(move || pump(buffered(Standard(io::stdin())), &ahead, &sender))?;
        }
        Input::File(path) => {
            let file = OneFile::of(&path)?;
            spawn(move || read_file(file.open(), &ahead, &sender))?;
        }
        Input::Followed(path) => {
            refuse_directory(&path)?;
            spawn(move || read_file(Followed::open(path), &ahead, &sender))?;
        }
        Input::Socket(path) => endings.add(socket::listen(path, &ahead, sender)?),
        Input::Program(program) => endings.add(program::run(program, ahead, sender)?),
    }
    Ok(lines)
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
