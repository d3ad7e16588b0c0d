//! Which children of this process are somebody's: those are waited for by whoever started them.

use std::collections::HashMap;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

type Children = HashMap<i32, usize>;

/// Counted: an id is given out again as soon as its child was waited for, and that may be before [`Own`] goes.
static OWN: LazyLock<Mutex<Children>> = LazyLock::new(Mutex::default);

/// A child that is waited for here, until this is dropped.
#[derive(Debug)]
pub(super) struct Own(Option<i32>);

/// Starts a child, and knows it before it can end.
pub(super) fn spawn(command: &mut Command) -> io::Result<(Child, Own)> {
    want_exit_statuses();
    let mut own = children();
    let child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id {
        *own.entry(id).or_default() += 1;
    }
    Ok((child, Own(id)))
}

/// Some parents leave the signal of a child's end ignored, and then the system waits for children itself and tells
/// nobody how they ended. A handler for it, once, changes that for as long as the process lives.
fn want_exit_statuses() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(signal(SignalKind::child())));
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut own = children();
        let Some(id) = self.0 else { return };
        match own.get_mut(&id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                own.remove(&id);
            }
        }
    }
}

fn children() -> MutexGuard<'static, Children> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a child that has ended and that no [`CommandLine`](super::CommandLine) runs: one that this process
/// adopted. For a process that is the first one of a container. Never blocks; anything else is left alone, but not
/// children that other code of this process has started and will wait for.
///
/// Returns whether there was one.
pub fn reap_adopted(pid: i32) -> bool {
    let own = children();
    let adopted = Pid::from_raw(pid).filter(|_| pid > 0 && !own.contains_key(&pid));
    adopted.is_some_and(|pid| matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))))
}
