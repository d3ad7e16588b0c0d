//! What goes on after an execution has ended: programs that are being ended. They keep its place under its overlap
//! rule, so that the next run does not meet the one before; and a shutdown waits for them, and kills them.

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
    /// Holds the place until all of these are over. Without a runtime nobody could wait: then they were killed
    /// already, and the place is free now.
    pub(super) fn add(&self, programs: Vec<EndingProgram>, place: HeldPlace) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let kill = self.kill.clone();
        // Dropped with its runtime it gives the place back, too.
        self.tasks
            .spawn_on(wait_for_all(programs, place, kill), &runtime);
    }

    pub(super) async fn is_over(&self) {
        // A tracker has to be closed to be waited for, and takes tasks all the same.
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
        // An error, which is all that ever comes, says that it is.
        let _ = program.is_over.await;
    }
}
