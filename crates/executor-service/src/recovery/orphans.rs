//! Programs that a dead process left running.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{Orphan, ProgramGroup};
use executor_core::{Entity, Failure};
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

/// The time that a program has to end after it was asked to terminate, and after it was killed.
const GRACE: Duration = Duration::from_secs(2);
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// The interval between looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The orphans of all earlier processes, as far as they were found.
pub(crate) struct FoundOrphans {
    all: Mutex<Vec<Orphan>>,
    rule: Orphans,
}

impl FoundOrphans {
    pub(crate) const fn new(rule: Orphans) -> Self {
        let all = Mutex::new(Vec::new());
        Self { all, rule }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Orphan>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the groups that a listener or job still has.
    pub(crate) fn of(&self, entity: &Entity) -> Vec<ProgramGroup> {
        let mut all = self.all();
        all.retain(|orphan| is_alive(&orphan.group));
        let its = all.iter().filter(|orphan| *orphan.entity == *entity);
        its.map(|orphan| orphan.group.clone()).collect()
    }

    /// Says which there are, and ends them if that is wanted. Returns the entities that have some.
    pub(crate) fn add(&self, mut orphans: Vec<Orphan>) -> HashSet<Arc<Entity>> {
        {
            let mut all = self.all();
            orphans.retain(|orphan| all.iter().all(|it| it.group != orphan.group));
            all.extend(orphans.iter().cloned());
        }
        for orphan in &orphans {
            let (id, entity) = (orphan.execution_id, &*orphan.entity);
            let (program, group) = (&*orphan.group.program, orphan.group.id);
            match self.rule {
                Orphans::Leave => tracing::warn!(
                    execution.id = %id, %entity, program, group,
                    "a program of an earlier process is still running"
                ),
                Orphans::End => tracing::warn!(
                    execution.id = %id, %entity, program, group,
                    "a program of an earlier process is still running; ending it"
                ),
            }
            if self.rule == Orphans::End {
                end_aside(&orphan.group);
            }
        }
        let entities = orphans.iter().map(|orphan| Arc::clone(&orphan.entity));
        entities.collect()
    }

    /// Ends programs whose listener or job wants that, unless all are being ended anyway.
    pub(crate) fn end(&self, programs: &[ProgramGroup]) {
        if self.rule == Orphans::End {
            return;
        }
        for program in programs {
            tracing::warn!(
                group = program.id,
                program = &*program.program,
                "ending a program of an earlier process, as its listener or job wants"
            );
            end_aside(program);
        }
    }

    /// Returns how long a place is held for them at most; without a limit if nobody ends them.
    pub(crate) fn patience(&self, is_ended: bool) -> Option<Duration> {
        (is_ended || self.rule == Orphans::End).then_some(GRACE + KILL_PATIENCE)
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

/// Ends a group while others go on.
fn end_aside(group: &ProgramGroup) {
    let group = group.clone();
    tokio::spawn(async move {
        end(vec![group]).await;
    });
}

/// Asks groups to terminate, kills what is left of them after the grace period, and waits for their end, five seconds
/// at most.
pub(crate) async fn end(groups: Vec<ProgramGroup>) {
    groups.iter().for_each(terminate);
    if gone(&groups, Some(GRACE)).await {
        return;
    }
    groups.iter().for_each(kill);
    if !gone(&groups, Some(KILL_PATIENCE)).await {
        let group = groups.iter().find(|group| is_alive(group)).map(|it| it.id);
        tracing::warn!(
            group,
            "program did not end within five seconds of being killed; its place is free"
        );
    }
}

/// Waits for the end of all groups. Returns whether it came in time.
pub(crate) async fn gone(groups: &[ProgramGroup], patience: Option<Duration>) -> bool {
    let until = patience.map(|patience| Instant::now() + patience);
    while groups.iter().any(is_alive) {
        if until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        sleep(LOOK_AGAIN).await;
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
