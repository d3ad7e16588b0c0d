//! Audits read everything, so one goes on at a time, whoever waits for it. A page that asks for the one that goes on, or
//! that ended lately, gets that one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::Progress;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::answer::Refused;

/// How long an audit is shown to those who ask for the same one.
const SHOWN_FOR: Duration = Duration::from_secs(60);

/// The audit that goes on, or was the last.
pub(crate) struct Audits<T> {
    last: Mutex<Option<Arc<Run<T>>>>,
}

/// One audit.
pub(crate) struct Run<T> {
    /// The question that it answers.
    of: String,
    done: AtomicU64,
    all: AtomicU64,
    state: Mutex<State<T>>,
    ended: Notify,
}

enum State<T> {
    GoesOn,
    Ended(Outcome<T>, Instant),
}

/// What was found, or why nothing was.
type Outcome<T> = Result<Arc<T>, Arc<Refused>>;

impl<T> Default for Audits<T> {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
        }
    }
}

impl<T: Send + Sync + 'static> Audits<T> {
    /// Returns the audit that answers a question, and begins it if need be; `None` if another one goes on.
    pub(crate) fn of<F>(
        &self,
        question: &str,
        begin: impl FnOnce(Progress) -> F,
    ) -> Option<Arc<Run<T>>>
    where
        F: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = &*last {
            match &*run.state() {
                State::GoesOn if run.of != question => return None,
                State::GoesOn => return Some(Arc::clone(run)),
                State::Ended(_, at) if run.of == question && at.elapsed() < SHOWN_FOR => {
                    return Some(Arc::clone(run));
                }
                State::Ended(..) => {}
            }
        }
        let run = Arc::new(Run::new(question));
        *last = Some(Arc::clone(&run));
        drop(last);
        // On its own: the page that begins it may be closed.
        let auditing = tokio::spawn(begin(Run::progress_of(&run)));
        let ending = Arc::clone(&run);
        tokio::spawn(async move {
            let found = auditing.await.unwrap_or_else(|_| Err(Refused::Defect));
            ending.end(found.map(Arc::new).map_err(Arc::new));
        });
        Some(run)
    }
}

impl<T: Send + Sync + 'static> Run<T> {
    fn new(question: &str) -> Self {
        Self {
            of: question.to_owned(),
            done: AtomicU64::new(0),
            all: AtomicU64::new(0),
            state: Mutex::new(State::GoesOn),
            ended: Notify::new(),
        }
    }

    /// What counts its progress.
    fn progress_of(run: &Arc<Self>) -> Progress {
        let run = Arc::clone(run);
        Progress::new(move |done, all| {
            run.done.store(done, Ordering::Relaxed);
            run.all.store(all, Ordering::Relaxed);
        })
    }

    fn end(&self, outcome: Outcome<T>) {
        *self.state() = State::Ended(outcome, Instant::now());
        self.ended.notify_waiters();
    }
}

impl<T> Run<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it found; `None` while it goes on.
    fn outcome(&self) -> Option<Outcome<T>> {
        match &mut *self.state() {
            State::GoesOn => None,
            State::Ended(found, at) => {
                // It is kept for as long after somebody has seen it.
                *at = Instant::now();
                Some(found.clone())
            }
        }
    }

    /// Waits for what it found, for so long at most.
    pub(crate) async fn within(&self, patience: Duration) -> Option<Outcome<T>> {
        let waiting = async {
            loop {
                // Listen before looking: it may end in between.
                let ended = self.ended.notified();
                if let Some(outcome) = self.outcome() {
                    return outcome;
                }
                ended.await;
            }
        };
        timeout(patience, waiting).await.ok()
    }

    /// How many rows it has looked at, and of how many.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let read = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (read(&self.done), read(&self.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn forever(_: Progress) -> Result<u8, Refused> {
        std::future::pending().await
    }

    #[tokio::test(start_paused = true)]
    async fn j02_one_audit_goes_on_at_a_time_and_is_shared() {
        let audits = Audits::<u8>::default();
        let (end, ends) = tokio::sync::oneshot::channel::<()>();
        let run = audits.of("week", |progress| async move {
            progress.tell(3, 10);
            let _ = ends.await;
            Ok(1)
        });
        let run = run.unwrap();
        assert!(run.within(Duration::from_secs(1)).await.is_none());
        assert_eq!(run.progress(), (3, 10));
        assert!(audits.of("day", forever).is_none(), "another one goes on");
        let same = audits.of("week", forever).unwrap();
        end.send(()).unwrap();
        assert_eq!(
            *same.within(Duration::from_secs(1)).await.unwrap().unwrap(),
            1
        );
        // It is shown for a while, and another one may begin.
        let shown = audits.of("week", forever).unwrap();
        assert_eq!(*shown.within(Duration::ZERO).await.unwrap().unwrap(), 1);
        tokio::time::advance(SHOWN_FOR).await;
        let anew = audits.of("week", async |_| Ok(2)).unwrap();
        assert_eq!(
            *anew.within(Duration::from_secs(1)).await.unwrap().unwrap(),
            2
        );
        // One that has failed while nobody waited is not begun again by each who asks.
        let failing = audits.of("day", async |_| Err(Refused::TooLong)).unwrap();
        drop(failing);
        // Paused time goes on only once it has ended.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let failed = audits.of("day", forever).unwrap();
        let why = failed.within(Duration::from_secs(1)).await.unwrap();
        assert!(matches!(why.unwrap_err().as_ref(), Refused::TooLong));
        tokio::time::advance(SHOWN_FOR).await;
        let again = audits.of("day", async |_| Ok(3)).unwrap();
        assert_eq!(
            *again.within(Duration::from_secs(1)).await.unwrap().unwrap(),
            3
        );
    }
}
