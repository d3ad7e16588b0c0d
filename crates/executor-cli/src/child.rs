//! A program as a handler: its own process group, the event on its standard input, an outcome
//! from its exit. Dropping the handler's future kills the group.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use command_executor::{Event, HandlerError};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

/// Runs a program for an event, which may be none, and waits for its end.
pub(crate) async fn run(
    argv: Arc<[String]>,
    event: Option<Arc<Event>>,
) -> Result<(), HandlerError> {
    let mut program = Program::start(&argv).map_err(|error| {
        HandlerError::named("spawn", format!("cannot start `{}`: {error}", argv[0]))
    })?;
    let input = program.child.stdin.take();
    let status = tokio::select! {
        status = program.child.wait() => status?,
        () = feed(input, event) => unreachable!("feeding goes on until the program has ended"),
    };
    program.has_ended = true;
    outcome(&argv[0], status)
}

/// Writes the event and closes the pipe, then waits: a program may end without reading it all, or
/// long after it has.
async fn feed(input: Option<ChildStdin>, event: Option<Arc<Event>>) {
    if let (Some(mut input), Some(event)) = (input, event)
        && let Some(line) = event.payload::<Vec<u8>>()
    {
        // A program that does not want its input is no failure.
        let _ = input.write_all(line).await;
        let _ = input.write_all(b"\n").await;
    }
    std::future::pending::<()>().await;
}

fn outcome(program: &str, status: ExitStatus) -> Result<(), HandlerError> {
    if status.success() {
        return Ok(());
    }
    let error = match (status.code(), status.signal()) {
        (Some(code), _) => HandlerError::named(
            format!("exit status {code}"),
            format!("`{program}` exited with status {code}"),
        ),
        (None, Some(signal)) => HandlerError::named(
            format!("signal {signal}"),
            format!("`{program}` was ended by signal {signal}"),
        ),
        (None, None) => HandlerError::named("exit", format!("`{program}` ended: {status}")),
    };
    Err(error)
}

/// A running program. Dropped before its end, it takes its process group along.
struct Program {
    child: Child,
    has_ended: bool,
}

impl Program {
    fn start(argv: &[String]) -> io::Result<Self> {
        // Both go to our standard error: what we print ourselves is for machines too.
        let output = || io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
        let child = Command::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(output()?)
            .stderr(output()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            child,
            has_ended: false,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // As long as the child is not waited for, its id is nobody else's.
        let id = self.child.id().filter(|_| !self.has_ended);
        let group = id
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
