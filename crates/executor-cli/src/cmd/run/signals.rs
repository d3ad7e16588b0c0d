//! Ctrl-C, SIGTERM and SIGHUP: the first stops in order, the second at once. SIGUSR1: the configuration is to be read
//! anew.

use std::fs;
use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop the program.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it was ignored from the start, as under `nohup`.
    hang_up: Option<Signal>,
    /// When the last one came.
    last: Option<Instant>,
}

/// Signals less apart than this come from the same hand.
const AT_ONCE: Duration = Duration::from_millis(100);

impl Signals {
    /// Listens from now on; the default action is off.
    pub(crate) fn listen() -> io::Result<Self> {
        let hang_up = SignalKind::hangup();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if is_ignored(hang_up) {
                None
            } else {
                Some(signal(hang_up)?)
            },
            last: None,
        })
    }

    /// Waits for the next one. Two that come at once are one: GNU `timeout` sends one to the process and one to its group.
    pub(crate) async fn next(&mut self) {
        loop {
            self.any().await;
            let last = self.last.replace(Instant::now());
            if last.is_none_or(|last| last.elapsed() >= AT_ONCE) {
                return;
            }
        }
    }

    async fn any(&mut self) {
        let hung_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Listens for requests to read the configuration anew.
pub(crate) fn reloads() -> io::Result<Signal> {
    signal(SignalKind::user_defined1())
}

/// Asks the kernel whether the signal is ignored; returns `false` without `/proc`.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = 1_u64 << (kind.as_raw_value() - 1);
    mask.is_some_and(|mask| mask & bit != 0)
}
