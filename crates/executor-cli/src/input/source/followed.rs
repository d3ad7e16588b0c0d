//! Follows a file over rotation and truncation, and a named pipe from one writer to the next.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::time::Timespec;

/// The interval between looks for more at the end.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a file that was replaced must be silent: its writer may not know of that yet.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The most bytes that are looked through for the beginning of an unfinished last line.
const LAST_LINE_MAX: u64 = 1 << 20;

/// A file that goes on. Reading it waits at its end, and never returns 0.
pub(super) struct Followed {
    path: PathBuf,
    file: File,
    /// A pipe has no length and no place.
    is_pipe: bool,
    /// The last byte that was read.
    last: u8,
    /// Where reading has got to.
    at: u64,
    /// When something was read last, or the end was reached first.
    since: Instant,
    /// It was said that something is in the way.
    has_warned: bool,
}

impl Followed {
    /// Opens the file at its end: what was written before is not for this run. An unfinished last line is, because it
    /// may be finished. Waits until there is a file.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let (file, waited) = open_when_there(&path)?;
        let mut followed = Self {
            path,
            is_pipe: is_pipe(&file.metadata()?),
            file,
            last: b'\n',
            at: 0,
            since: Instant::now(),
            has_warned: false,
        };
        // A file that came while this waited is new as a whole.
        if !followed.is_pipe && !waited {
            followed.skip_what_is_there()?;
        }
        Ok(followed)
    }

    fn skip_what_is_there(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let begin = length.saturating_sub(LAST_LINE_MAX);
        self.file.seek(SeekFrom::Start(begin))?;
        let mut end = Vec::new();
        (&self.file).take(length - begin).read_to_end(&mut end)?;
        let line = end.iter().rposition(|byte| *byte == b'\n');
        let line = line.map_or(0, |newline| newline as u64 + 1);
        self.at = begin + line;
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(())
    }

    /// Reads what is there; 0 at the end.
    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.file.read(buffer) {
            // A pipe whose writer says nothing now.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            read => read?,
        };
        self.at += read as u64;
        if let Some(last) = buffer[..read].last() {
            self.last = *last;
            self.since = Instant::now();
        }
        Ok(read)
    }

    /// Looks whether something else is at the path, or less than before. Returns `true` if reading begins anew.
    fn begins_anew(&mut self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        let there = match fs::metadata(&self.path) {
            // Moved away, and nothing has taken its place yet; or unreadable for now.
            Err(_) => return Ok(false),
            Ok(there) => there,
        };
        if (there.dev(), there.ino()) == (held.dev(), held.ino()) {
            return self.rewind_if_cut(there.len());
        }
        if self.since.elapsed() < LAST_WORDS {
            return Ok(false);
        }
        self.take_next()
    }

    /// Returns `true` if the file has become shorter than what was read of it, and is read from its beginning.
    fn rewind_if_cut(&mut self, length: u64) -> io::Result<bool> {
        let is_cut = !self.is_pipe && length < self.at;
        if is_cut {
            let path = self.path.display();
            tracing::warn!("{path} was cut short; reading it from its beginning");
            self.file.rewind()?;
            self.at = 0;
        }
        Ok(is_cut)
    }

    /// Goes on with what is at the path now. Returns `false` if that cannot be opened.
    fn take_next(&mut self) -> io::Result<bool> {
        match open(&self.path) {
            Ok(next) => {
                self.is_pipe = is_pipe(&next.metadata()?);
                self.file = next;
                self.at = 0;
                self.has_warned = false;
                Ok(true)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_warned, true) {
                    let path = self.path.display();
                    tracing::warn!(
                        "{path} was replaced, and cannot be opened ({error}); trying again"
                    );
                }
                Ok(false)
            }
        }
    }

    /// Waits for more.
    fn wait(&self) {
        // A pipe without a writer says so at once, whenever it is asked.
        if !self.is_pipe || self.asked(LOOK_AGAIN) == PollFlags::HUP {
            sleep(LOOK_AGAIN);
        }
    }

    /// Asks a pipe what it is ready for, and waits that long for it.
    fn asked(&self, patience: Duration) -> PollFlags {
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut fds, Some(&patience)) {
            Ok(_) => fds[0].revents() & (PollFlags::IN | PollFlags::HUP),
            Err(_) => PollFlags::HUP,
        }
    }

    /// Ends a last line: it is whole, because nobody will go on with it.
    const fn end_line(&mut self, buffer: &mut [u8]) -> usize {
        self.last = b'\n';
        buffer[0] = b'\n';
        1
    }
}

impl Read for Followed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.read_on(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let is_unfinished = self.last != b'\n';
            if is_unfinished && self.is_pipe && self.asked(Duration::ZERO) == PollFlags::HUP {
                return Ok(self.end_line(buffer));
            }
            match self.begins_anew()? {
                true if is_unfinished => return Ok(self.end_line(buffer)),
                true => {}
                false => self.wait(),
            }
        }
    }
}

/// Waits until there is a file, and returns it and whether it had to be waited for.
fn open_when_there(path: &Path) -> io::Result<(File, bool)> {
    let mut waited = false;
    loop {
        match open(path) {
            Ok(file) => return Ok((file, waited)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !waited {
                    tracing::warn!("{} is not there yet; waiting for it", path.display());
                }
                waited = true;
                sleep(LOOK_AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Never waits: a named pipe is opened without a writer.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    }
}

fn is_pipe(metadata: &Metadata) -> bool {
    metadata.file_type().is_fifo()
}
