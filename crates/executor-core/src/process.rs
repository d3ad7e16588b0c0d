//! Runs programs as handlers: in a process group of their own, with the event on standard input. The way
//! a program ends decides the outcome. No shell is involved, and no zombie remains.
//!
//! An execution that ends before its program does (its deadline passed, it was cancelled, its future
//! was dropped) asks the program's group to terminate and kills it two seconds later. A task of the
//! runtime does this; [`all_ended`] waits for all such tasks.

mod output;
mod own;
mod program;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::event::Event;
use crate::failure::HandlerError;
use crate::handler::{Handler, HandlerFuture, HandlerResult, JobHandler};
pub use own::reap_adopted;

use output::Output;
use program::{End, Program};

/// The time that a program has to end after it was asked to terminate.
pub const TERMINATION_GRACE: Duration = Duration::from_secs(2);

/// The default for how many bytes of each output, the last ones, are kept for the report.
pub const CAPTURE_MAX_BYTES: usize = 4_096;

/// Programs that are being terminated, of all command lines.
static TERMINATING: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Waits until no program is being terminated: each has ended or was killed, and was waited for.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use executor_core::{JobHandler, process};
///
/// let sleep = process::CommandLine::new("sleep").args(["60"]);
/// let run = tokio::time::timeout(Duration::from_millis(50), JobHandler::call(&sleep));
/// assert!(run.await.is_err()); // dropped: the program is asked to terminate
/// process::all_ended().await; // and here it has ended
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future only stops the wait.
pub async fn all_ended() {
    // `wait` needs a closed tracker, and a closed one still takes tasks.
    TERMINATING.close();
    TERMINATING.wait().await;
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
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    input: Arc<Input>,
    capture_max_bytes: usize,
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
        self.environment.push((name.into(), value.into()));
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

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    async fn run(self, input: Option<Vec<u8>>) -> HandlerResult {
        let mut program = match Program::start(&self) {
            Ok(program) => program,
            Err(error) => return Err(self.not_started(&error)),
        };
        let end = program.run(input).await?;
        let Some(error_type) = kind_of(&end) else {
            return Ok(());
        };
        let (program, output) = (self.name(), program.output());
        Err(HandlerError::named(
            error_type,
            ProgramError {
                program,
                end,
                output,
            },
        ))
    }

    fn not_started(&self, error: &std::io::Error) -> HandlerError {
        let place = match &self.directory {
            Some(directory) => format!(" in {}", directory.display()),
            None => String::new(),
        };
        let program = self.name();
        HandlerError::named("spawn", format!("cannot start `{program}`{place}: {error}"))
    }
}

/// `None` is success.
fn kind_of(end: &End) -> Option<String> {
    match end {
        End::Exited(0) => None,
        End::Exited(status) => Some(format!("exit status {status}")),
        End::Signalled(signal) => Some(format!("signal {signal}")),
    }
}

fn payload_bytes(event: &Event) -> Vec<u8> {
    let text = event.payload::<String>().map(String::as_bytes);
    let text = text.or_else(|| event.payload::<&'static str>().map(|text| text.as_bytes()));
    let bytes = text.or_else(|| event.payload::<Vec<u8>>().map(Vec::as_slice));
    let bytes = bytes.or_else(|| event.payload::<Arc<[u8]>>().map(AsRef::as_ref));
    bytes.unwrap_or_default().to_vec()
}

impl Handler for CommandLine {
    fn call(&self, event: Arc<Event>) -> HandlerFuture {
        let mut input = (self.input)(&event);
        input.push(b'\n');
        Box::pin(self.clone().run(Some(input)))
    }
}

impl JobHandler for CommandLine {
    /// A job has no event: its standard input is empty.
    fn call(&self) -> HandlerFuture {
        Box::pin(self.clone().run(None))
    }
}

impl fmt::Debug for CommandLine {
    /// Leaves out arguments and environment: both may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLine")
            .field("program", &self.program)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// The error of a program that did not succeed.
#[derive(Debug)]
struct ProgramError {
    program: String,
    end: End,
    /// The cause, as far as anybody can know it.
    output: Option<Output>,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = &self.program;
        match self.end {
            End::Exited(status) => write!(f, "`{program}` exited with status {status}"),
            End::Signalled(signal) => write!(f, "`{program}` was ended by signal {signal}"),
        }
    }
}

impl std::error::Error for ProgramError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let output = self.output.as_ref()?;
        Some(output)
    }
}
