//! Runs programs as handlers: in a process group of their own, with the event on standard input. The way
//! a program ends decides the outcome. No shell is involved, and no zombie remains.
//!
//! An execution that ends before its program does (its deadline passed, it was cancelled, its future
//! was dropped) asks the program's group to terminate and kills it two seconds later. A task of the
//! runtime does this; [`all_ended`] waits for all such tasks.

mod command_line;
mod group;
mod output;
mod own;
mod program;

use std::fmt;
use std::sync::Arc;

use crate::context;
use crate::event::Event;
use crate::failure::HandlerError;
use crate::handler::{Handler, HandlerFuture, HandlerResult, JobHandler};
pub use group::{has_ended, is_alive, kill, terminate};
pub use own::reap_adopted;

use command_line::{TERMINATING, Variables};
use output::Output;
use program::{End, Program};

pub use command_line::{CAPTURE_MAX_BYTES, CommandLine, TERMINATION_GRACE};

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

impl CommandLine {
    pub(crate) fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    async fn run(self, input: Option<Vec<u8>>, variables: Variables) -> HandlerResult {
        let mut program = match Program::start(&self, variables) {
            Ok(program) => program,
            Err(error) => return Err(self.not_started(&error)),
        };
        let end = program.run(input).await?;
        if let End::Exited(code) = end {
            context::leave_behind(|left| left.exit_code = Some(code));
        }
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

/// The longest topic that is passed to a program; the system accepts no variable of more than 128 KiB.
const TOPIC_MAX_BYTES: usize = 64 << 10;

/// Topics come from outside: none may keep a program from starting.
fn is_passable(topic: &str) -> bool {
    topic.len() <= TOPIC_MAX_BYTES && !topic.contains('\0')
}

impl Handler for CommandLine {
    fn call(&self, event: Arc<Event>) -> HandlerFuture {
        let mut input = (self.input)(&event);
        input.push(b'\n');
        let topic = Some(event.topic.to_string()).filter(|topic| is_passable(topic));
        Box::pin(self.clone().run(Some(input), Variables { topic }))
    }
}

impl JobHandler for CommandLine {
    /// A job has no event: its standard input is empty.
    fn call(&self) -> HandlerFuture {
        Box::pin(self.clone().run(None, Variables { topic: None }))
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
