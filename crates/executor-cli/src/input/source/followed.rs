//! Follows a file over rotation, and a named pipe from one writer to the next.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

/// The interval between looks for more at the end of the file.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A file that goes on. Reading it waits at its end, and never returns 0.
pub(super) struct Followed {
    path: PathBuf,
    file: File,
    is_pipe: bool,
    /// The last byte that was read.
    last: u8,
    /// Where reading has got to.
    at: u64,
}

impl Followed {
    /// Opens the file at its end: what was written before is not for this run. Waits until there is one.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let (mut file, waited) = wait_for(&path)?;
        let is_pipe = file.metadata()?.file_type().is_fifo();
        // A file that came while this waited is new as a whole.
        let at = match is_pipe || waited {
            true => 0,
            false => file.seek(SeekFrom::End(0))?,
        };
        Ok(Self {
            path,
            file,
            is_pipe,
            last: b'\n',
            at,
        })
    }

    /// Returns what is to be read instead of the file that has ended, if it has.
    fn successor(&mut self) -> io::Result<Option<File>> {
        if self.is_pipe {
            // Waits for the next writer.
            return File::open(&self.path).map(Some);
        }
        let held = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) != (held.dev(), held.ino()) => {
                // It may go away again before it is open.
                Ok(File::open(&self.path).ok())
            }
            Ok(there) if there.len() < self.at => {
                tracing::warn!(
                    "{} was cut short; reading it from its beginning",
                    self.path.display()
                );
                self.file.rewind()?;
                self.at = 0;
                Ok(None)
            }
            // Moved away, and nothing has taken its place yet.
            _ => Ok(None),
        }
    }

    /// Ends a last line: it is whole, because nobody will go on with it.
    const fn end_line(&mut self, buffer: &mut [u8]) -> usize {
        self.last = b'\n';
        buffer[0] = b'\n';
        1
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.at += read as u64;
        if let Some(last) = buffer[..read].last() {
            self.last = *last;
        }
        Ok(read)
    }
}

fn wait_for(path: &PathBuf) -> io::Result<(File, bool)> {
    let mut waited = false;
    loop {
        match File::open(path) {
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

impl Read for Followed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.read_on(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            if self.is_pipe && self.last != b'\n' {
                return Ok(self.end_line(buffer));
            }
            if let Some(next) = self.successor()? {
                // What was written to the old one before the new one was there.
                let read = self.read_on(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
                self.file = next;
                self.at = 0;
                if self.last != b'\n' {
                    return Ok(self.end_line(buffer));
                }
            } else {
                sleep(LOOK_AGAIN);
            }
        }
    }
}
