//! Tracks the children that a `CommandLine` started and waits for, so that `reap_adopted` leaves them alone.

use std::collections::HashMap;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

type Children = HashMap<i32, usize>;

/// Counts by process id: the system may reuse an id once its child was waited for, before [`Own`] is dropped.
static OWN: LazyLock<Mutex<Children>> = LazyLock::new(Mutex::default);

/// Marks a child as ours to wait for, until this is dropped.
#[derive(Debug)]
pub(super) struct Own(Option<i32>);

/// Starts a child and registers it under one lock, so that nobody can reap it in between.
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

/// Installs a handler for `SIGCHLD`, once for the life of the process. Some parents leave this signal ignored; then
/// the system reaps children itself and reports no exit status.
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

/// Reaps a child that has ended and that no [`CommandLine`](super::CommandLine) runs: one that this process adopted,
/// as the first process of a container does. Never blocks. It also takes children that other code of this process
/// started and will wait for.
///
/// Returns `true` if it reaped one.
pub fn reap_adopted(pid: i32) -> bool {
    let own = children();
    let adopted = Pid::from_raw(pid).filter(|_| pid > 0 && !own.contains_key(&pid));
    adopted.is_some_and(|pid| matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))))
}
