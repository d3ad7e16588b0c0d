//! The process group of a program: told to the sink while it lives, and found again by a later process.

use std::fs;
use std::sync::{Arc, LazyLock};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::context::{self, sinks};
use crate::ports::{ProgramGroup, RecordSink, Ticket};

/// `None` where the system does not name its boots.
static BOOT: LazyLock<Option<[u8; 16]>> = LazyLock::new(|| {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let boot = uuid::Uuid::try_parse(text.trim()).ok()?;
    Some(boot.into_bytes())
});

/// A group that the sink knows of, until this is dropped.
pub(super) struct Noted {
    sink: Arc<dyn RecordSink>,
    ticket: Ticket,
}

impl Noted {
    /// Tells the sink of the current execution. `None` if nobody keeps it.
    pub(super) fn note(leader: Pid, program: &str) -> Option<Self> {
        let execution_id = context::current_execution_id()?;
        let sink = sinks::current()?;
        let id = leader.as_raw_nonzero().get().unsigned_abs();
        let group = ProgramGroup {
            boot: (*BOOT)?,
            id,
            started: start_of(id)?,
            program: program.into(),
        };
        let ticket = sink.program_began(execution_id, &group);
        (ticket != Ticket::NONE).then_some(Self { sink, ticket })
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.sink.unsaid(&[self.ticket]);
    }
}

/// Returns whether the leader of a group that an earlier process started is still running. Without its leader a group is
/// not told apart from a stranger's that has the same id by now; it counts as gone.
pub fn is_alive(group: &ProgramGroup) -> bool {
    *BOOT == Some(group.boot) && start_of(group.id) == Some(group.started)
}

/// Returns whether the leader of such a group is known to have ended: this process can read what the system says of
/// processes, and that one is not there.
pub fn has_ended(group: &ProgramGroup) -> bool {
    let is_gone = BOOT.is_some() && !is_alive(group);
    is_gone && start_of(std::process::id()).is_some()
}

/// Asks such a group to terminate. Does nothing if it is gone.
pub fn terminate(group: &ProgramGroup) {
    signal(group, Signal::TERM);
}

/// Kills such a group. Does nothing if it is gone.
pub fn kill(group: &ProgramGroup) {
    signal(group, Signal::KILL);
}

fn signal(group: &ProgramGroup, signal: Signal) {
    if let Some(pid) = pid_of(group).filter(|_| is_alive(group)) {
        let _ = kill_process_group(pid, signal);
    }
}

fn pid_of(group: &ProgramGroup) -> Option<Pid> {
    // Not 1: that would be every process.
    Pid::from_raw(i32::try_from(group.id).ok().filter(|id| *id > 1)?)
}

/// Returns the time at which a process began, in ticks since the boot; `None` if there is none, or if it has ended and
/// nobody has waited for it yet.
fn start_of(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (state != "Z").then_some(started)
}
