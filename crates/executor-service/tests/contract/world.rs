//! A history and the processes that write it one after the other, on a machine that sleeps and whose clock is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use executor_core::ports::{
    History, MissedRuns, PageRequest, Pause, RegistrationFilter, StoredRegistration, Window,
};
use executor_core::registration::Overlap;
use executor_core::time::{Clock, Moment, Timestamp};
use executor_core::{EntityKind, Status};
use executor_service::diagnosis::{DueFate, DueTime, Facts, Question, due_times, explain};
use executor_service::{CommandExecutor, Config, JobHandle, Retention, Schedule};
use executor_testkit::MemoryStore;
use tokio::time::{Instant, advance, sleep};

use crate::spool::life;
use crate::support::secs;

/// Follows tokio's time; can be set, and goes on while the machine sleeps.
#[derive(Clone)]
pub(crate) struct Machine {
    origin: Instant,
    wall: Arc<AtomicI64>,
    slept: Arc<AtomicI64>,
}

impl Machine {
    /// One that shows this time now.
    pub(crate) fn at(from: &str) -> Self {
        Self {
            origin: Instant::now(),
            wall: Arc::new(AtomicI64::new(micros(from))),
            slept: Arc::default(),
        }
    }
}

impl Clock for Machine {
    fn now(&self) -> Moment {
        let monotonic = Instant::now();
        let wall = Timestamp::from_micros(self.wall.load(Ordering::SeqCst));
        Moment {
            wall: wall.saturating_add(monotonic - self.origin),
            monotonic,
        }
    }

    fn since_boot(&self) -> Option<Duration> {
        let slept = self.slept.load(Ordering::SeqCst).unsigned_abs();
        Some(Instant::now() - self.origin + Duration::from_micros(slept))
    }
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

pub(crate) fn micros(text: &str) -> i64 {
    let text = match text.len() {
        5 => format!("2026-01-01T{text}:00Z"),
        _ => format!("{text}:00Z"),
    };
    let at: jiff::Timestamp = text.parse().unwrap();
    at.as_microsecond()
}

/// One process.
pub(crate) struct Life {
    pub(crate) executor: CommandExecutor,
    pub(crate) machine: Machine,
}

impl Life {
    pub(crate) async fn job(&self, schedule: Schedule) -> JobHandle {
        let job = self.executor.job("house", "backup").schedule(schedule);
        let job = job.overlap(Overlap::Single).handler_fn(|| async {});
        job.register().await.unwrap()
    }

    /// Until the next look at the clock is over.
    pub(crate) async fn look(&self) {
        sleep(secs(40)).await;
    }

    pub(crate) async fn asleep(&self, span: Duration) {
        let micros = span.as_micros() as i64;
        self.machine.wall.fetch_add(micros, Ordering::SeqCst);
        self.machine.slept.fetch_add(micros, Ordering::SeqCst);
        self.look().await;
    }

    pub(crate) async fn set(&self, span: Duration) {
        let micros = span.as_micros() as i64;
        self.machine.wall.fetch_add(micros, Ordering::SeqCst);
        self.look().await;
    }

    /// Nothing of the process runs, as under a signal that stops it.
    pub(crate) async fn held_up(&self, span: Duration) {
        advance(span).await;
        self.look().await;
    }
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    Stopped,
    Killed,
}

pub(crate) use End::{Killed, Stopped};

/// A history, and the processes that write it one after the other.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) store: MemoryStore,
}

impl World {
    pub(crate) fn life(&self, from: &str, end: End, work: impl AsyncFnOnce(&Life)) {
        self.life_with(Config::default(), from, end, work);
    }

    pub(crate) fn life_with(
        &self,
        config: Config,
        from: &str,
        end: End,
        work: impl AsyncFnOnce(&Life),
    ) {
        self.store.reopen();
        life(async {
            let machine = Machine::at(from);
            let builder = CommandExecutor::builder(self.store.clone()).clock(machine.clone());
            let config = config.with_retention(Retention::FOR_EVER);
            let executor = builder.config(config).start().await.unwrap();
            let life = Life { executor, machine };
            work(&life).await;
            life.executor.flush().await.unwrap();
            match end {
                Stopped => drop(life.executor.shutdown(secs(5)).await),
                Killed => self.store.lose_processes(),
            }
        });
    }

    pub(crate) fn missed(&self) -> Vec<MissedRuns> {
        life(async {
            let (mut all, mut page) = (Vec::new(), PageRequest::first(500));
            loop {
                let found = self.store.missed_runs(Window::default(), page.clone());
                let mut found = found.await.unwrap();
                all.append(&mut found.items);
                page.after = found.next;
                if page.after.is_none() {
                    break;
                }
            }
            all.sort_by_key(|missed| (missed.first_due, missed.reason.as_str()));
            all
        })
    }

    pub(crate) fn pauses(&self) -> Vec<Pause> {
        life(async {
            let all = self.store.pauses(Window::default(), PageRequest::default());
            all.await.unwrap().items
        })
    }

    /// The latest times at which the backup was due, the latest first, with what became of them.
    pub(crate) fn due_times(&self, most: usize) -> Vec<String> {
        life(async {
            let jobs = RegistrationFilter::of(EntityKind::Job);
            let jobs = self.store.registrations(jobs, PageRequest::default());
            let jobs = jobs.await.unwrap().items;
            let is_it = |it: &&StoredRegistration| it.registration.entity.name == "backup";
            let backup = jobs.iter().find(is_it).unwrap();
            let due = due_times(&self.store, backup, most).await.unwrap();
            due.iter().map(|it| due_text(*it)).collect()
        })
    }

    /// Why it ran or did not run at that time, without ids.
    pub(crate) fn explain(&self, name: &str, at: &str) -> String {
        let at = Timestamp::from_micros(micros(at));
        let question = Question::new("house", name, at);
        let facts = life(Facts::read(&self.store, &question)).unwrap();
        let sentence = explain(&question, &facts).sentence(name, shown);
        let is_id = |word: &&str| {
            word.starts_with('(') && word.trim_end_matches(['.', ':', ';']).len() == 12
        };
        let words: Vec<_> = sentence.split(' ').collect();
        let words = words.into_iter().map(|word| match is_id(&word) {
            true => word
                .trim_start_matches('(')
                .split(')')
                .nth(1)
                .unwrap_or_default(),
            false => word,
        });
        let text = words.collect::<Vec<_>>().join(" ");
        text.replace(" .", ".")
            .replace(" :", ":")
            .replace(" ;", ";")
    }

    /// What was missed and when the others were due, as text.
    pub(crate) fn told(&self) -> String {
        let mut told: Vec<String> = self.missed().iter().map(text_of).collect();
        let records = self.store.records();
        let due = records
            .iter()
            .filter(|record| record.status == Status::Success);
        let due: Vec<String> = due.filter_map(|record| record.due_at).map(shown).collect();
        told.push(format!("ran {}", due.join(" ")));
        told.join(", ").trim_end().to_owned()
    }
}

fn due_text(due: DueTime) -> String {
    let at = shown(due.at);
    match due.fate {
        DueFate::Ran { status, .. } => format!("{at} {}", status.as_str()),
        DueFate::Missed { reason, count } => format!("{at} {count} {}", reason.as_str()),
    }
}

pub(crate) fn text_of(missed: &MissedRuns) -> String {
    let (first, last) = (shown(missed.first_due), shown(missed.last_due));
    format!("{} {} {first}-{last}", missed.count, missed.reason.as_str())
}

pub(crate) fn shown(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap();
    let at = at.round(jiff::Unit::Minute).unwrap();
    match at.strftime("%d").to_string().as_str() {
        "01" => at.strftime("%H:%M").to_string(),
        _ => at.strftime("%d.%H:%M").to_string(),
    }
}
