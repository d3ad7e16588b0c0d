//! The spool's maintenance thread. Alongside the appends it prepares spares, reuses or removes
//! settled files, copies frames forward and syncs. The spool joins it.

use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::options::Durability;
use crate::segment::{Pages, Segment};
use crate::segments::{Role, Segments};

/// The first and the longest wait before asking a file system for a segment that it refused.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The waits between requests to a file system that refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    wait: Duration,
    pub(crate) due: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self {
            wait: RETRY_FIRST,
            due: None,
        }
    }

    fn refused(&mut self, now: Instant) {
        self.due = Some(now + self.wait);
        self.wait = (self.wait * 2).min(RETRY_MAX);
    }
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Maintenance(JoinHandle<()>);

impl Maintenance {
    pub(crate) fn start(core: Arc<Core>, durability: Durability) -> std::io::Result<Self> {
        let builder = thread::Builder::new().name("record-spool".to_owned());
        let thread = builder.spawn(move || run(&core, durability))?;
        Ok(Self(thread))
    }

    /// Returns when the thread has ended. The spool must be closed.
    pub(crate) fn join(self) {
        // A callback that owned the last reference to the spool drops it on this very thread.
        if self.0.thread().id() == thread::current().id() {
            return;
        }
        // It panics only on a bug in this crate, and then everything appended is still on disk.
        let _ = self.0.join();
    }
}

fn run(core: &Core, durability: Durability) {
    let every = match durability {
        Durability::Process => None,
        Durability::Power { every } => Some(every),
    };
    let mut backoff = Backoff::new();
    let mut next_sync = Instant::now();
    while wait_for_work(core, every.map(|_| next_sync), &backoff) {
        let now = Instant::now();
        core.maintain(now, &mut backoff);
        if let Some(every) = every
            && now >= next_sync
        {
            next_sync = now + every;
            core.sync_round();
        }
    }
}

/// Sleeps until there is something to do; `false` if there never will be.
fn wait_for_work(core: &Core, next_sync: Option<Instant>, backoff: &Backoff) -> bool {
    let mut segments = core.segments();
    loop {
        let now = Instant::now();
        let sync = next_sync.filter(|_| segments.sync_wanted);
        let due = [sync, backoff.due, segments.next_move(now)];
        let due = due.into_iter().flatten().min();
        if segments.closed {
            return false;
        }
        if std::mem::take(&mut segments.work) || due.is_some_and(|due| due <= now) {
            return true;
        }
        segments.keeper_waits = true;
        segments.keeper_idles = sync.is_none();
        segments = match due {
            Some(due) => {
                let waited = core.wake.wait_timeout(segments, due - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => core
                .wake
                .wait(segments)
                .unwrap_or_else(PoisonError::into_inner),
        };
        segments.keeper_waits = false;
    }
}

impl Core {
    /// One round of everything but syncs.
    pub(crate) fn maintain(&self, now: Instant, backoff: &mut Backoff) {
        if backoff.due.is_some_and(|due| due <= now) {
            backoff.due = None;
            self.segments().refused = None;
        }
        self.move_forward(now);
        self.refill(now, backoff);
        self.remove_surplus();
    }

    fn refill(&self, now: Instant, backoff: &mut Backoff) {
        loop {
            let task = self.segments().next_spare();
            let made = match task {
                Task::Nothing => break,
                Task::Reuse(used, number) => {
                    let made = used.reuse(&*self.fs, &self.dir, number);
                    if made.is_err() {
                        self.segments().trash.push(used);
                    }
                    made
                }
                Task::Create(number, bytes) => {
                    Segment::create(&*self.fs, &self.dir, number, bytes, Pages::Ready)
                }
            };
            let mut segments = self.segments();
            segments.in_work -= 1;
            match made {
                Ok(spare) => segments.take_spare(spare),
                Err(error) => segments.refuse(&error),
            }
        }
        let refused = self.segments().refused.is_some();
        match (refused, backoff.due) {
            (true, None) => backoff.refused(now),
            (false, _) => *backoff = Backoff::new(),
            (true, Some(_)) => {}
        }
    }

    fn remove_surplus(&self) {
        let unwanted = self.segments().take_unwanted();
        let count = unwanted.len() as u64;
        let mut kept = Vec::new();
        for segment in unwanted {
            if let Err(error) = self.fs.remove(&segment.path) {
                kept.push((segment, error));
            }
        }
        let mut segments = self.segments();
        segments.in_work -= count;
        segments.dir_dirty |= count > 0;
        for (segment, error) in kept {
            segments.note("remove a segment", &error);
            segments.trash.push(segment);
        }
    }
}

/// The way to get the next spare.
enum Task {
    Nothing,
    Reuse(Segment, u64),
    Create(u64, u64),
}

impl Segments {
    fn next_spare(&mut self) -> Task {
        if self.closed || self.is_lean || self.spares.len() >= self.options.spares {
            return Task::Nothing;
        }
        if let Some(used) = self.free.pop() {
            self.in_work += 1;
            return Task::Reuse(used, self.take_number());
        }
        if self.refused.is_some() || !self.has_space(Role::Appender) {
            return Task::Nothing;
        }
        self.in_work += 1;
        Task::Create(self.take_number(), self.options.segment_bytes)
    }

    fn take_spare(&mut self, spare: Segment) {
        self.dir_dirty = true;
        let newest = self.held.back().map_or(0, |held| held.segment.number);
        if self.is_lean {
            // It was still being made when the spares were given up.
            self.trash.push(spare);
            self.work = true;
        } else if spare.number > newest {
            self.spares.push_back(spare);
        } else {
            // An append did not wait for it, and segments are read in the order of their numbers.
            self.free.push(spare);
        }
    }

    /// Takes out the files to remove. Keeps as many free ones as spares are wanted, so that a steady
    /// flow of frames creates and removes no file.
    fn take_unwanted(&mut self) -> Vec<Segment> {
        let kept = if self.is_lean { 0 } else { self.options.spares };
        let surplus = self.free.len().saturating_sub(kept);
        let mut unwanted: Vec<Segment> = self.free.drain(..surplus).collect();
        unwanted.append(&mut self.trash);
        self.in_work += unwanted.len() as u64;
        unwanted
    }
}
