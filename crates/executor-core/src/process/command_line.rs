//! What is run: a program, its arguments and surroundings.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::context;
use crate::event::Event;

/// The time that a program has to end after it was asked to terminate.
pub const TERMINATION_GRACE: Duration = Duration::from_secs(2);

/// The default for how many bytes of each output, the last ones, are kept for the report.
pub const CAPTURE_MAX_BYTES: usize = 4_096;

/// Programs that are being terminated, of all command lines.
pub(super) static TERMINATING: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// What a program is told about its execution.
pub(super) struct Variables {
    /// `None` for a job.
    pub(super) topic: Option<String>,
}

impl Variables {
    /// The variables of the current execution; those without a value must not reach the program.
    pub(super) fn all(self) -> [(&'static str, Option<String>); 5] {
        let id = context::current_execution_id().map(|id| id.to_string());
        let due = context::due_at().map(|due| due.to_string());
        [
            ("EXECUTOR_EXECUTION_ID", id),
            ("EXECUTOR_TOPIC", self.topic),
            ("EXECUTOR_DUE_AT", due),
            // Set by whoever knows them.
            ("EXECUTOR_APP", None),
            ("EXECUTOR_NAME", None),
        ]
    }
}

type Input = dyn Fn(&Event) -> Vec<u8> + Send + Sync;

/// A program with its arguments, to be used as a handler of events or of a job.
///
/// Each run is a fresh process in a process group of its own. It gets the event on standard input: the
/// payload if that is text or bytes, or the result of [`input`](Self::input), and a newline. The run
/// succeeds if the process exits with status 0. Another status, a signal, or a program that cannot be
/// started is an error of the type `exit status N`, `signal N` or `spawn`; its report ends with the
/// last [`CAPTURE_MAX_BYTES`] of the output.
///
/// Its environment has the execution's id as `EXECUTOR_EXECUTION_ID`, the event's topic as `EXECUTOR_TOPIC` (unless it
/// contains NUL or is longer than 64 KiB), and for a run that a schedule began the time at which it was due as
/// `EXECUTOR_DUE_AT`, in UTC.
///
/// ```
/// # use executor_core::Handler;
/// use std::sync::Arc;
/// use executor_core::{Event, process::CommandLine};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let grep = CommandLine::new("grep").args(["--quiet", "hall"]);
/// let event = Event::new("motion").with_payload(String::from("in the hall"));
/// assert!(grep.call(Arc::new(event)).await.is_ok());
/// # }
/// ```
#[derive(Clone)]
pub struct CommandLine {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    /// `None` takes a variable away.
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    pub(super) directory: Option<PathBuf>,
    pub(super) input: Arc<Input>,
    pub(super) capture_max_bytes: usize,
}

impl CommandLine {
    /// Creates a command line without arguments. The system finds the program as usual.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            input: Arc::new(payload_bytes),
            capture_max_bytes: CAPTURE_MAX_BYTES,
        }
    }

    /// Adds arguments, each as it is: nothing is split, expanded or quoted.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment, which is otherwise this process's own.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Takes a variable out of the environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// Runs it in this directory. Default: this process's own.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets the function that turns an event into standard input. Default: the payload if it is a
    /// `String`, `&'static str`, `Vec<u8>` or `Arc<[u8]>`, and nothing otherwise.
    #[must_use]
    pub fn input(mut self, input: impl Fn(&Event) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.input = Arc::new(input);
        self
    }

    /// Sets how many bytes of each output, the last ones, are kept for the report. Default
    /// [`CAPTURE_MAX_BYTES`]; the rest is read and discarded.
    #[must_use]
    pub const fn capture_max_bytes(mut self, bytes: usize) -> Self {
        self.capture_max_bytes = bytes;
        self
    }
}

fn payload_bytes(event: &Event) -> Vec<u8> {
    let text = event.payload::<String>().map(String::as_bytes);
    let text = text.or_else(|| event.payload::<&'static str>().map(|text| text.as_bytes()));
    let bytes = text.or_else(|| event.payload::<Vec<u8>>().map(Vec::as_slice));
    let bytes = bytes.or_else(|| event.payload::<Arc<[u8]>>().map(AsRef::as_ref));
    bytes.unwrap_or_default().to_vec()
}
