//! Tracks programs that are still being ended after their execution. They keep its place under its overlap rule, so
//! the next run does not meet the previous one. A shutdown waits for them, and kills them.

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command::Command;
use crate::context::EndingProgram;

/// All programs that are being ended, of one runner.
#[derive(Default)]
pub(super) struct Aftermath {
    tasks: TaskTracker,
    kill: CancellationToken,
}

/// A place under an overlap rule that is given back when this is dropped.
pub(super) struct HeldPlace(Command);

impl HeldPlace {
    pub(super) const fn new(command: Command) -> Self {
        Self(command)
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.0.gate().leave();
    }
}

impl Aftermath {
    /// Holds the place until all of these have ended. Without a runtime nothing can wait for them: they were already
    /// killed, and the place is free now.
    pub(super) fn add(&self, programs: Vec<EndingProgram>, place: HeldPlace) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let kill = self.kill.clone();
        // If the runtime drops the task, that also gives the place back.
        self.tasks
            .spawn_on(wait_for_all(programs, place, kill), &runtime);
    }

    pub(super) async fn is_over(&self) {
        // `wait` needs a closed tracker, and a closed one still takes tasks.
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(super) fn kill(&self) {
        self.kill.cancel();
    }
}

async fn wait_for_all(programs: Vec<EndingProgram>, _place: HeldPlace, kill: CancellationToken) {
    for mut program in programs {
        tokio::select! {
            _ = &mut program.is_over => continue,
            () = kill.cancelled() => program.kill.cancel(),
        }
        // Always an error: the sender is dropped when the program is over.
        let _ = program.is_over.await;
    }
}
