//! The output of a program, which is started again when it ends.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::lines::{Ahead, Sender, buffered, pump, spawn};

/// The delay before a program is started again, doubled each time up to the longest.
const DELAY: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// The time after which a program that is told to end is killed.
const GRACE: Duration = Duration::from_secs(2);

/// A program whose output is read.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The program and its arguments; at least the program.
    pub(crate) argv: Vec<String>,
    /// Variables that it is not given.
    pub(crate) without: &'static [&'static str],
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) directory: Option<PathBuf>,
}

impl Program {
    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
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

/// The program that runs now. Ends it when this is dropped.
pub(super) struct Ending(Arc<Mutex<Now>>);

#[derive(Default)]
struct Now {
    group: Option<Pid>,
    is_over: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let group = {
            let mut now = locked(&self.0);
            now.is_over = true;
            now.group
        };
        let Some(group) = group else { return };
        let _ = kill_process_group(group, Signal::TERM);
        let begun = Instant::now();
        while locked(&self.0).group == Some(group) {
            if begun.elapsed() > GRACE {
                let _ = kill_process_group(group, Signal::KILL);
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

fn locked(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the program, and again whenever it ends. An error means that it could not be started at first.
pub(super) fn run(program: Program, ahead: Ahead, sender: Sender) -> io::Result<Ending> {
    let now = Arc::new(Mutex::new(Now::default()));
    let child = begin(&program, &now)?;
    let ending = Ending(Arc::clone(&now));
    spawn(move || keep_running(&program, child, &now, &ahead, &sender))?;
    Ok(ending)
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
    now: &Mutex<Now>,
    ahead: &Ahead,
    sender: &Sender,
) {
    let name = &program.argv[0];
    let mut delay = DELAY;
    while !sender.is_closed() {
        let begun = Instant::now();
        let how = match child.take() {
            Some(child) => read_to_its_end(child, now, ahead, sender),
            None => "could not be started".to_owned(),
        };
        if locked(now).is_over {
            return;
        }
        if begun.elapsed() > DELAY_MAX {
            delay = DELAY;
        }
        tracing::warn!("the source `{name}` {how}; it is started again in {delay:?}");
        sleep(delay);
        delay = (delay * 2).min(DELAY_MAX);
        child = match begin(program, now) {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!("cannot start `{name}`: {error}");
                None
            }
        };
    }
}

/// Returns how it ended.
fn read_to_its_end(mut child: Child, now: &Mutex<Now>, ahead: &Ahead, sender: &Sender) -> String {
    if let Some(output) = child.stdout.take() {
        pump(buffered(output), ahead, sender);
    }
    // What it has left running in its group holds the output no more, but may be there.
    let status = child.wait();
    locked(now).group = None;
    match status {
        Ok(status) => format!("ended ({status})"),
        // Somebody else has waited for it.
        Err(_) => "ended".to_owned(),
    }
}
