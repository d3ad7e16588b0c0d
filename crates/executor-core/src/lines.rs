//! What an execution says: lines from the handler itself or from the program that it runs, kept with its record.
//!
//! At most 64 KiB of an execution are kept, the first 16 KiB and the last 48 KiB, and the lines in between are
//! counted. Whether they are kept at all depends on the [`LinePolicy`] and on how the execution ends.

pub(crate) mod buffer;
mod kept;
mod plain;
pub(crate) mod running;
mod splitter;

use std::fmt::{self, Write as _};
use std::time::Duration;

/// The maximum size of the lines of one execution, in bytes.
pub const LINES_MAX_BYTES: usize = 64 * 1_024;

/// The maximum size of one line, in bytes; a longer one is cut in the middle.
pub const LINE_MAX_BYTES: usize = 8 * 1_024;

/// The size of what is kept of a success under [`LinePolicy::Tail`], in bytes.
pub const TAIL_BYTES: usize = 2 * 1_024;

/// Says which executions keep their lines.
///
/// ```
/// use executor_core::lines::LinePolicy;
/// assert_eq!(LinePolicy::ALL.map(LinePolicy::as_str), ["none", "failures", "tail", "all"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinePolicy {
    /// None.
    None,
    /// Those that neither succeeded nor were skipped. The default for code in this process.
    Failures,
    /// All, but only the last 2 KiB of a success. The default for programs, so that yesterday's good run can be
    /// compared with today's failed one.
    Tail,
    /// All, with all their lines.
    All,
}

impl LinePolicy {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::None, Self::Failures, Self::Tail, Self::All];

    /// Returns its name in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Failures => "failures",
            Self::Tail => "tail",
            Self::All => "all",
        }
    }

    /// Returns how many bytes may be kept of an execution that succeeded or was skipped.
    pub(crate) const fn room_of_success(self) -> usize {
        match self {
            Self::None | Self::Failures => 0,
            Self::Tail => TAIL_BYTES,
            Self::All => LINES_MAX_BYTES,
        }
    }

    /// Returns how many bytes may be kept of an execution that ended in any other way.
    pub(crate) const fn room_of_failure(self) -> usize {
        match self {
            Self::None => 0,
            Self::Failures | Self::Tail | Self::All => LINES_MAX_BYTES,
        }
    }
}

/// Who says a line, or how urgently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LineKind {
    /// Logged as an error.
    Error,
    /// Logged as a warning.
    Warn,
    /// Logged for information.
    Info,
    /// Logged for debugging.
    Debug,
    /// Logged for tracing.
    Trace,
    /// Printed by a program to its standard output.
    Stdout,
    /// Printed by a program to its standard error.
    Stderr,
    /// Not a line: says how much is left out here.
    LeftOut,
}

impl LineKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
        Self::Stdout,
        Self::Stderr,
        Self::LeftOut,
    ];

    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::LeftOut => "left_out",
        }
    }

    /// Returns its letter in tables.
    pub const fn letter(self) -> char {
        match self {
            Self::Error => 'E',
            Self::Warn => 'W',
            Self::Info => 'I',
            Self::Debug => 'D',
            Self::Trace => 'T',
            Self::Stdout => 'o',
            Self::Stderr => 'e',
            Self::LeftOut => '-',
        }
    }

    fn of(letter: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| letter.chars().eq([kind.letter()]))
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// The time since the execution began.
    pub after: Duration,
    /// Its level or stream.
    pub kind: LineKind,
    /// The module that logged it; empty for programs.
    pub target: &'l str,
    /// The text, without a line end or escape sequences.
    pub text: &'l str,
    /// True for a line of a program that has no end: the program ended, or was ended, in the middle of it.
    pub is_unfinished: bool,
}

/// The lines of an execution, as far as they are kept.
///
/// ```
/// use executor_core::lines::{LineKind, Lines};
///
/// let lines = Lines::from_parts(2, 2, 40, false, "1500 o [] 3 of 9 files\n2000 W [house::lamp] it is dark\n");
/// let texts: Vec<_> = lines.iter().map(|line| (line.kind, line.text)).collect();
/// assert_eq!(texts, [(LineKind::Stdout, "3 of 9 files"), (LineKind::Warn, "it is dark")]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    kept: u64,
    total: u64,
    total_bytes: u64,
    is_binary: bool,
    body: Box<str>,
}

impl Lines {
    /// Creates lines from what [`body`](Self::body) and the other methods returned.
    pub fn from_parts(
        kept: u64,
        total: u64,
        total_bytes: u64,
        is_binary: bool,
        body: impl Into<Box<str>>,
    ) -> Self {
        Self {
            kept,
            total,
            total_bytes,
            is_binary,
            body: body.into(),
        }
    }

    /// Returns the number of lines that are kept.
    pub const fn kept(&self) -> u64 {
        self.kept
    }

    /// Returns the number of lines that were said.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the size of what was said, in bytes.
    pub const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Returns `true` if a program printed something other than text, none of which is kept.
    pub const fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// Returns them as one text. Each has a line: microseconds since the beginning, the letter of its kind (with `~`
    /// if it is unfinished), its target in brackets, and its text.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns the lines in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        self.body.lines().filter_map(parse)
    }
}

impl fmt::Display for Lines {
    /// Writes the texts alone, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|line| writeln!(f, "{}", line.text))
    }
}

fn parse(line: &str) -> Option<Line<'_>> {
    let (micros, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(" [")?;
    let (target, text) = rest
        .split_once("] ")
        .or_else(|| Some((rest.strip_suffix(']')?, "")))?;
    let letter = kind.trim_end_matches('~');
    Some(Line {
        after: Duration::from_micros(micros.parse().ok()?),
        kind: LineKind::of(letter)?,
        target,
        text,
        is_unfinished: kind.ends_with('~'),
    })
}

fn write_line(body: &mut String, line: &Line<'_>) {
    let micros = line.after.as_micros();
    let (letter, mark) = (
        line.kind.letter(),
        if line.is_unfinished { "~" } else { "" },
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        body,
        "{micros} {letter}{mark} [{}] {}",
        line.target, line.text
    );
}

#[cfg(test)]
mod tests;
