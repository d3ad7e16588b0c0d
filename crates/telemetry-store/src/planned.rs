//! What is known of a job from before a registration, worked out of what a backend reads.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use executor_core::ports::{Earlier, InForce};
use executor_core::{SessionId, Timestamp};

/// The number of a job's latest rows, and of its latest episodes of missed runs, that are looked at.
pub(crate) const LOOKED_AT: i64 = 1_000;

/// When an execution began, and when it was due.
#[derive(QueryableByName)]
pub(crate) struct Ran {
    #[diesel(sql_type = BigInt)]
    start_us: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    due_us: Option<i64>,
}

/// The due times of runs that were missed.
#[derive(QueryableByName)]
pub(crate) struct Episode {
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

/// What sessions have said about how far they followed a job's schedule.
#[derive(Default, QueryableByName)]
pub(crate) struct HowFar {
    /// Up to this time every planned run is dealt with, though not all executions were kept.
    #[diesel(sql_type = Nullable<BigInt>)]
    last_due_us: Option<i64>,
    /// After this time planned runs waited in line.
    #[diesel(sql_type = Nullable<BigInt>)]
    next_due_us: Option<i64>,
}

/// What a backend reads about a job.
pub(crate) struct Known {
    /// The latest schedule that began before the registration.
    pub(crate) latest: Option<InForce>,
    pub(crate) how_far: HowFar,
    /// The last time at which a session was in charge.
    pub(crate) alive_until: Option<i64>,
    /// The latest executions, and the latest episodes of missed runs that began before the registration.
    pub(crate) ran: Vec<Ran>,
    pub(crate) missed: Vec<Episode>,
    /// Another living session that is in charge.
    pub(crate) elsewhere: Option<SessionId>,
}

impl Known {
    pub(crate) fn earlier(self, at: Timestamp) -> Earlier {
        let until = self.latest.as_ref().and_then(|latest| latest.until);
        Earlier {
            until: until.filter(|until| *until < at),
            alive_until: self.followed_until().map(Timestamp::from_micros),
            dealt_with: self.dealt_with(at.as_micros()),
            elsewhere: self.elsewhere,
            plan: self.latest.map(|latest| latest.plan),
        }
    }

    /// The last time at which a session was in charge, or after which a run waited in line.
    fn followed_until(&self) -> Option<i64> {
        let waits = self.how_far.next_due_us;
        self.alive_until
            .map(|alive| waits.map_or(alive, |waits| waits.min(alive)))
    }

    fn dealt_with(&self, at: i64) -> Vec<(Timestamp, Timestamp)> {
        let mut ranges = ran(&self.ran);
        ranges.extend(missed(&self.missed));
        // A clock that was wrong by years may have said so.
        let begun_until = self.how_far.last_due_us.filter(|until| *until <= at);
        ranges.extend(begun_until.map(|until| (i64::MIN, until)));
        ranges.retain(|(first, _)| *first < at);
        let times = ranges.into_iter();
        let time = Timestamp::from_micros;
        times
            .map(|(first, last)| (time(first), time(last)))
            .collect()
    }
}

/// The due times of the latest executions. Nobody looks beyond them.
fn ran(found: &[Ran]) -> Vec<(i64, i64)> {
    let began = found.iter().map(|it| it.due_us.unwrap_or(it.start_us));
    let due = found.iter().filter_map(|it| it.due_us);
    due.map(|due| (due, due))
        .chain(beyond(found.len(), began.min()))
        .collect()
}

/// The latest episodes of missed runs. Nobody looks beyond them.
fn missed(found: &[Episode]) -> Vec<(i64, i64)> {
    let earliest = found.iter().map(|episode| episode.first).min();
    let ranges = found.iter().map(|episode| (episode.first, episode.last));
    ranges.chain(beyond(found.len(), earliest)).collect()
}

/// What came before the earliest of so many that there may be more.
fn beyond(found: usize, earliest: Option<i64>) -> Option<(i64, i64)> {
    let is_cut = found as i64 == LOOKED_AT;
    earliest.filter(|_| is_cut).map(|it| (i64::MIN, it))
}
