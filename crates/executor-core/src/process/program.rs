//! Runs one program: feeds it, reads its output, waits for it, and ends it with its whole group.

use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::{self, EndingProgram};
use crate::lines::LineKind;

use super::command_line::{CommandLine, TERMINATING, TERMINATION_GRACE, Variables};
use super::group::Noted;
use super::output::{Output, Tail};
use super::own::{self, Own};

/// The time for reading on after the program has ended: processes that it left behind may hold its
/// outputs open for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The time that a killed group has to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// The interval between checks of a group without its leader.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The end of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Signalled(i32),
}

/// A running program. Dropping it before its end asks its group to terminate and kills the group
/// after the grace period.
pub(super) struct Program {
    /// `Some` until it has ended or is being terminated.
    running: Option<Running>,
    standard_output: Tail,
    standard_error: Tail,
}

impl Program {
    pub(super) fn start(line: &CommandLine, variables: Variables) -> io::Result<Self> {
        let mut command = Command::new(&line.program);
        // This process may itself run under another executor; its own variables of this kind are not passed on.
        for (name, value) in variables.all() {
            set(&mut command, name, value);
        }
        for (name, value) in &line.environment {
            set(&mut command, name, value.as_ref());
        }
        command
            .args(&line.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &line.directory {
            command.current_dir(directory);
        }
        Ok(Self {
            running: Some(Running::new(own::spawn(&mut command)?, &line.name())),
            standard_output: Tail::new(LineKind::Stdout, line.capture_max_bytes),
            standard_error: Tail::new(LineKind::Stderr, line.capture_max_bytes),
        })
    }

    /// Feeds it, listens to it, and waits for its end.
    pub(super) async fn run(&mut self, input: Option<Vec<u8>>) -> io::Result<End> {
        let Some(running) = &mut self.running else {
            return Err(io::Error::other("the program was waited for already"));
        };
        let Running {
            child,
            stdout,
            stderr,
            ..
        } = running;
        let feeding = feed(child.stdin.take(), input);
        let listening = async {
            tokio::join!(
                self.standard_output.read(stdout.as_mut()),
                self.standard_error.read(stderr.as_mut())
            );
        };
        let status = until_its_end(child, feeding, listening).await?;
        // Processes that it left behind on purpose may stay, and the system may now reuse the group's id.
        if let Some(running) = &mut self.running {
            running.group = None;
        }
        self.running = None;
        Ok(end_of(status))
    }

    /// Returns the captured output.
    pub(super) fn output(&self) -> Option<Output> {
        Output::of(&self.standard_output, &self.standard_error)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.signal(Signal::TERM);
        // Without a runtime nothing can wait for it, so dropping `running` kills it at once.
        if Handle::try_current().is_ok() {
            let (kill, (over, is_over)) = (CancellationToken::new(), oneshot::channel());
            let ending = EndingProgram {
                kill: kill.clone(),
                is_over,
            };
            context::leave_behind(|left| left.programs.push(ending));
            TERMINATING.spawn(running.end(kill, over));
        }
    }
}

/// A child and its process group, which is killed when this is dropped.
struct Running {
    child: Child,
    /// Open until its end, also in its grace period: writing to a closed pipe would kill the program
    /// before it has cleaned up.
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// `Some` while the group is ours to signal.
    group: Option<Pid>,
    /// Known to the sink, in case this process dies first.
    _noted: Option<Noted>,
    /// Keeps `reap_adopted` away while this waits for the child.
    _own: Own,
}

impl Running {
    fn new((mut child, own): (Child, Own), name: &str) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = id.and_then(Pid::from_raw);
        Self {
            group,
            _noted: group.and_then(|group| Noted::note(group, name)),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            _own: own,
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Gives the whole group its grace period, then kills the rest of it and waits for its end. Drops `_over` when
    /// the group is gone, or has taken too long.
    async fn end(mut self, kill: CancellationToken, _over: oneshot::Sender<()>) {
        // Keep reading, or it waits for room in a pipe instead of ending.
        let (ignored, stdout, stderr) = (Tail::ignored(), self.stdout.take(), self.stderr.take());
        let listening = async {
            tokio::join!(ignored.read(stdout), ignored.read(stderr));
            pending::<()>().await;
        };
        let ending = async {
            tokio::select! {
                _ = timeout(TERMINATION_GRACE, self.all_gone()) => {}
                () = kill.cancelled() => {}
            }
            self.signal(Signal::KILL);
            if timeout(KILL_PATIENCE, self.all_gone()).await.is_err() {
                let group = self.group.map(|group| group.as_raw_nonzero().get());
                warn!(
                    group,
                    "program did not end within five seconds of being killed; its place is free"
                );
            }
        };
        tokio::select! {
            () = ending => {}
            () = listening => {}
        }
        self.group = None;
    }

    /// Waits until the whole group is gone: other members may still be cleaning up after the child has ended. As
    /// long as one of them exists, the system does not reuse the group's id.
    async fn all_gone(&mut self) {
        let _ = self.child.wait().await;
        while self
            .group
            .is_some_and(|group| test_kill_process_group(group).is_ok())
        {
            sleep(LOOK_AGAIN).await;
        }
        self.group = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn set(command: &mut Command, name: impl AsRef<OsStr>, value: Option<impl AsRef<OsStr>>) {
    match value {
        Some(value) => command.env(name, value),
        None => command.env_remove(name),
    };
}

/// Waits for the program while feeding it and reading its output, and then briefly for the rest of the output.
async fn until_its_end(
    child: &mut Child,
    feeding: impl Future<Output = ()>,
    listening: impl Future<Output = ()>,
) -> io::Result<ExitStatus> {
    let mut listening = pin!(listening);
    let mut has_heard_all = false;
    let heard = async {
        listening.as_mut().await;
        has_heard_all = true;
        pending::<()>().await;
    };
    let status = tokio::select! {
        status = child.wait() => status?,
        () = feeding => unreachable!("it goes on until the program has ended"),
        () = heard => unreachable!("it goes on until the program has ended"),
    };
    if !has_heard_all {
        let _ = timeout(LAST_WORDS, listening).await;
    }
    Ok(status)
}

/// Writes the input, closes the pipe, and then never completes: a program may end without reading all
/// of it, or long afterwards.
async fn feed(pipe: Option<ChildStdin>, input: Option<Vec<u8>>) {
    if let (Some(mut pipe), Some(input)) = (pipe, input) {
        // A program that does not want its input is not a failure.
        let _ = pipe.write_all(&input).await;
    }
    pending::<()>().await;
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Signalled(signal),
        // There is no third way to end on Unix.
        (None, None) => End::Exited(-1),
    }
}
