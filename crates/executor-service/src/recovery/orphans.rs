//! Programs that a dead process left running.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::ProgramGroup;
use executor_core::{Entity, ExecutionId, Failure};
use tokio::time::{Instant, sleep};

/// What becomes of programs that an earlier process of this program left running when it was killed.
///
/// ```
/// use executor_service::{Config, Orphans};
///
/// let config = Config::default().with_orphans(Orphans::End);
/// assert_eq!(Config::default().orphans, Orphans::Leave);
/// # drop(config);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Orphans {
    /// They run on. Under a rule that lets one run at a time, their listener or job waits for them.
    #[default]
    Leave,
    /// They are asked to terminate, and killed two seconds later.
    End,
}

/// A program that is still running although its execution was interrupted.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    pub(crate) execution_id: ExecutionId,
    pub(crate) entity: Arc<Entity>,
    pub(crate) group: ProgramGroup,
}

/// The time that a program has to end after it was asked to terminate, and after it was killed.
const GRACE: Duration = Duration::from_secs(2);
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// The interval between looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The orphans of all earlier processes, as far as they were found.
#[derive(Default)]
pub(crate) struct FoundOrphans(Mutex<Vec<Orphan>>);

impl FoundOrphans {
    fn all(&self) -> MutexGuard<'_, Vec<Orphan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the groups that a listener or job still has.
    pub(crate) fn of(&self, entity: &Entity) -> Vec<ProgramGroup> {
        let mut all = self.all();
        all.retain(|orphan| is_alive(&orphan.group));
        let its = all.iter().filter(|orphan| *orphan.entity == *entity);
        its.map(|orphan| orphan.group.clone()).collect()
    }

    /// Says which there are, and ends them if that is wanted. Returns the entities that have some.
    pub(crate) fn add(&self, mut orphans: Vec<Orphan>, rule: Orphans) -> HashSet<Arc<Entity>> {
        {
            let all = self.all();
            orphans.retain(|orphan| all.iter().all(|it| it.group != orphan.group));
        }
        for orphan in &orphans {
            let (id, entity) = (orphan.execution_id, &*orphan.entity);
            let (program, group) = (&*orphan.group.program, orphan.group.id);
            match rule {
                Orphans::Leave => tracing::warn!(
                    execution.id = %id, %entity, program, group,
                    "a program of an earlier process is still running"
                ),
                Orphans::End => tracing::warn!(
                    execution.id = %id, %entity, program, group,
                    "a program of an earlier process is still running; ending it"
                ),
            }
            if rule == Orphans::End {
                let group = orphan.group.clone();
                tokio::spawn(async move {
                    end(vec![group]).await;
                });
            }
        }
        let entities = orphans.iter().map(|orphan| Arc::clone(&orphan.entity));
        let entities = entities.collect();
        self.all().extend(orphans);
        entities
    }
}

/// Returns the failure of an interrupted execution that names its living programs.
pub(crate) fn failure(living: &[ProgramGroup]) -> Option<Failure> {
    let named = living
        .iter()
        .map(|group| format!("`{}` (process group {})", group.program, group.id));
    let named: Vec<String> = named.collect();
    let message = match named.len() {
        0 => return None,
        1 => format!("its program {} is still running", named[0]),
        _ => format!("its programs {} are still running", named.join(", ")),
    };
    Some(Failure::orphaned(&message))
}

/// Asks groups to terminate, kills what is left of them after the grace period, and waits for their end, five seconds
/// at most.
pub(crate) async fn end(groups: Vec<ProgramGroup>) {
    groups.iter().for_each(terminate);
    if wait_until(&groups, GRACE).await {
        return;
    }
    groups.iter().for_each(kill);
    if !wait_until(&groups, KILL_PATIENCE).await {
        let group = groups.iter().find(|group| is_alive(group)).map(|it| it.id);
        tracing::warn!(
            group,
            "program did not end within five seconds of being killed; its place is free"
        );
    }
}

/// Waits for the end of all groups.
pub(crate) async fn gone(groups: Vec<ProgramGroup>) {
    while groups.iter().any(is_alive) {
        sleep(LOOK_AGAIN).await;
    }
}

async fn wait_until(groups: &[ProgramGroup], patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while groups.iter().any(is_alive) {
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK_AGAIN / 4).await;
    }
    true
}

#[cfg(all(unix, feature = "process"))]
pub(crate) use executor_core::process::{is_alive, kill, terminate};

/// Without the feature nothing was started, and what another program started is its own.
#[cfg(not(all(unix, feature = "process")))]
mod without {
    use executor_core::ports::ProgramGroup;

    pub(crate) const fn is_alive(_: &ProgramGroup) -> bool {
        false
    }

    pub(crate) const fn kill(_: &ProgramGroup) {}

    pub(crate) const fn terminate(_: &ProgramGroup) {}
}

#[cfg(not(all(unix, feature = "process")))]
pub(crate) use without::{is_alive, kill, terminate};
