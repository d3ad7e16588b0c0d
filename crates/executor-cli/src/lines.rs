//! Lines from a file or from standard input, read on a thread of their own: reading a pipe blocks,
//! and no runtime thread may wait for it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::thread;

use tokio::sync::mpsc;

/// Longer lines are not kept; no event that a handler could use is.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Lines read ahead.
const AHEAD: usize = 256;

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Text(Vec<u8>),
    /// More than 16 MiB; skipped to its end.
    TooLong,
}

/// Starts to read. `-` is standard input.
pub(crate) fn read(path: &Path) -> io::Result<mpsc::Receiver<io::Result<Line>>> {
    let source: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Box::new(file)
    };
    let (sender, receiver) = mpsc::channel(AHEAD);
    // The thread ends with the input, with its reader, or with the process.
    thread::Builder::new()
        .name("events".into())
        .spawn(move || pump(BufReader::with_capacity(1 << 16, source), &sender))?;
    Ok(receiver)
}

fn pump(mut source: impl BufRead, sender: &mpsc::Sender<io::Result<Line>>) {
    loop {
        let next = next_line(&mut source, LINE_MAX_BYTES).transpose();
        let Some(line) = next else { return };
        let failed = line.is_err();
        if sender.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

fn next_line(source: &mut impl BufRead, max: u64) -> io::Result<Option<Line>> {
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
        return Ok(Some(Line::TooLong));
    }
    Ok(Some(Line::Text(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_apart_and_long_ones_are_skipped_whole() {
        let mut source: &[u8] = b"one\n\ntoo long\nfive\nlast";
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut source, 5).unwrap() {
            lines.push(line);
        }
        let text = |text: &str| Line::Text(text.into());
        assert_eq!(
            lines,
            [
                text("one"),
                text(""),
                Line::TooLong,
                text("five"),
                text("last")
            ]
        );
    }
}
