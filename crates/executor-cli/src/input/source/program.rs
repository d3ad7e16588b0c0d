//! The output of a program, which is started again when it ends.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use command_executor::redact::{Redactor, TextKind};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::ending::{End, GRACE};
use super::lines::{Ahead, Sender, buffered, next_line, pump, spawn};

/// The delay before a program is started again, doubled each time up to the longest.
const DELAY: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// The time that others have whom a program that has ended leaves behind, to say what they have to say.
const LAST_WORDS: Duration = Duration::from_millis(100);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The lines of its standard error that are logged of each start, and their longest.
const COMPLAINTS_MAX: usize = 10;
const COMPLAINT_BYTES: u64 = 2_048;

/// A program whose output is read.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The source's name, for messages.
    pub(crate) source: String,
    /// The program and its arguments; at least the program.
    pub(crate) argv: Vec<String>,
    /// Variables that it is not given.
    pub(crate) without: &'static [&'static str],
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) directory: Option<PathBuf>,
    /// What its complaints pass before they are logged.
    pub(crate) redactor: Redactor,
}

impl Program {
    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: a key on the terminal is for this process, which ends it in order.
            .process_group(0);
        for name in self.without {
            command.env_remove(name);
        }
        command.envs(&self.variables);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.spawn()
    }
}

/// The program that runs now.
pub(super) struct Running(Arc<Mutex<Now>>);

#[derive(Default)]
struct Now {
    /// Its group, until nobody is left in it.
    group: Option<Pid>,
    is_over: bool,
}

impl End for Running {
    fn begin(&self) {
        let mut now = locked(&self.0);
        now.is_over = true;
        signal(now.group, Signal::TERM);
    }

    fn is_over(&self) -> bool {
        let group = locked(&self.0).group;
        group.is_none_or(|group| !has_members(group))
    }

    fn force(&self) {
        let mut now = locked(&self.0);
        now.is_over = true;
        signal(now.group, Signal::KILL);
    }
}

fn locked(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}

fn has_members(group: Pid) -> bool {
    test_kill_process_group(group).is_ok()
}

/// Starts the program, and again whenever it ends. An error means that it could not be started at first.
pub(super) fn run(program: Program, ahead: Ahead, sender: Sender) -> io::Result<Running> {
    let now = Arc::new(Mutex::new(Now::default()));
    let child = begin(&program, &now)?;
    let running = Running(Arc::clone(&now));
    spawn(move || keep_running(&program, child, &now, &ahead, &sender))?;
    Ok(running)
}

fn begin(program: &Program, now: &Mutex<Now>) -> io::Result<Option<Child>> {
    // Held while it starts, so that it is either not started or ended.
    let mut now = locked(now);
    if now.is_over {
        return Ok(None);
    }
    let child = program.start()?;
    now.group = Some(Pid::from_child(&child));
    Ok(Some(child))
}

fn keep_running(
    program: &Program,
    mut child: Option<Child>,
    now: &Arc<Mutex<Now>>,
    ahead: &Ahead,
    sender: &Sender,
) {
    let name = &program.source;
    let mut delay = DELAY;
    while !sender.is_closed() {
        let begun = Instant::now();
        let how = match child.take() {
            Some(child) => read_to_its_end(program, child, now, ahead, sender),
            None => "could not be started".to_owned(),
        };
        if locked(now).is_over {
            return;
        }
        if begun.elapsed() > DELAY_MAX {
            delay = DELAY;
        }
        tracing::warn!(
            "the program of the source `{name}` {how}; it is started again in {delay:?}"
        );
        sleep(delay);
        delay = (delay * 2).min(DELAY_MAX);
        child = begin_again(program, now);
    }
}

fn begin_again(program: &Program, now: &Arc<Mutex<Now>>) -> Option<Child> {
    match begin(program, now) {
        Ok(child) => child,
        Err(error) => {
            let (name, program) = (&program.source, &program.argv[0]);
            tracing::warn!("cannot start `{program}` for the source `{name}`: {error}");
            None
        }
    }
}

/// Reads until the program has ended, or says nothing more, and returns how it ended.
fn read_to_its_end(
    program: &Program,
    mut child: Child,
    now: &Arc<Mutex<Now>>,
    ahead: &Ahead,
    sender: &Sender,
) -> String {
    let (output, complaints) = (child.stdout.take(), child.stderr.take());
    if let Some(complaints) = complaints {
        log_complaints(program, complaints);
    }
    let ended = wait_aside(child, now);
    if let Some(output) = output {
        pump(buffered(output), ahead, sender);
    }
    let Ok(ended) = ended else {
        return "was ended: there is no thread to wait for it".to_owned();
    };
    // Without an output it cannot say anything more.
    let status = ended.recv_timeout(GRACE).or_else(|_| {
        // It is still there, so the group is its own.
        let group = locked(now).group;
        group.into_iter().for_each(end_group);
        ended.recv()
    });
    how_it_ended(status.ok().and_then(Result::ok))
}

/// Waits for a program on a thread of its own, which tells how it ended.
fn wait_aside(
    mut child: Child,
    now: &Arc<Mutex<Now>>,
) -> io::Result<Receiver<io::Result<ExitStatus>>> {
    let (tell, ended) = channel();
    let now = Arc::clone(now);
    spawn(move || {
        let status = child.wait();
        // Others of its group may hold its output open for ever.
        end_rest(&now);
        let _ = tell.send(status);
    })?;
    Ok(ended)
}

/// Ends what a program that was waited for has left in its group. As long as somebody is in it, the system gives its id to
/// nobody else; afterwards it is not ours any more.
fn end_rest(now: &Mutex<Now>) {
    let Some(group) = locked(now).group else {
        return;
    };
    if has_members(group) {
        sleep(LAST_WORDS);
        end_group(group);
    }
    locked(now).group = None;
}

fn how_it_ended(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => format!("ended ({status})"),
        // Somebody else has waited for it.
        None => "ended".to_owned(),
    }
}

/// Asks a group to terminate, and kills it two seconds later.
fn end_group(group: Pid) {
    signal(Some(group), Signal::TERM);
    let begun = Instant::now();
    while has_members(group) {
        if begun.elapsed() > GRACE {
            signal(Some(group), Signal::KILL);
            return;
        }
        sleep(LOOK_AGAIN);
    }
}

/// Logs the first lines of its standard error, and reads the rest so that it never waits for a reader.
fn log_complaints(program: &Program, complaints: ChildStderr) {
    let (source, redactor) = (program.source.clone(), program.redactor.clone());
    let reading = spawn(move || {
        let mut complaints = buffered(complaints);
        let mut logged = 0;
        while let Ok(Some(line)) = next_line(&mut complaints, COMPLAINT_BYTES) {
            logged += 1;
            match line {
                Some(line) if logged <= COMPLAINTS_MAX => {
                    let line = String::from_utf8_lossy(&line);
                    let line = redactor.apply(TextKind::Line, &line);
                    tracing::warn!("the source `{source}` says: {line}");
                }
                _ => {}
            }
        }
    });
    if let Err(error) = reading {
        tracing::warn!("cannot read what a source complains about: {error}");
    }
}
