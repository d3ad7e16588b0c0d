//! Reaps adopted processes. A process that adopts others, such as the first one of a container, must wait for them,
//! or they stay zombies.

use std::fs;
use std::time::Duration;

use command_executor::process;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// Programs of this process that end are waited for by whoever runs them; time for that.
const A_MOMENT: Duration = Duration::from_millis(10);

/// Reaps every process that this one adopts, while the runtime lives. Does nothing in a process that adopts none.
pub(crate) fn start() {
    if !adopts() {
        return;
    }
    let Ok(mut ended) = signal(SignalKind::child()) else {
        return;
    };
    tokio::spawn(async move {
        while ended.recv().await.is_some() {
            sleep(A_MOMENT).await;
            for zombie in zombies() {
                process::reap_adopted(zombie);
            }
        }
    });
}

/// Returns whether orphans become children of this process: always if it is the first one, otherwise if it asked for
/// that.
fn adopts() -> bool {
    std::process::id() == 1 || is_subreaper()
}

#[cfg(target_os = "linux")]
fn is_subreaper() -> bool {
    rustix::process::child_subreaper().is_ok_and(|reaper| reaper.is_some())
}

#[cfg(not(target_os = "linux"))]
fn is_subreaper() -> bool {
    false
}

/// Children of this process that have ended and were not waited for.
fn zombies() -> Vec<i32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_zombie_of_ours(*pid)).collect()
}

fn is_zombie_of_ours(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold anything.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = rest.split_whitespace();
    let (state, parent) = (fields.next(), fields.next());
    state == Some("Z") && parent == Some(std::process::id().to_string().as_str())
}
