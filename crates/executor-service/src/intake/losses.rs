//! Groups lost records into episodes: when each began and ended, how many were lost, and from which listeners and
//! jobs. It only counts: the intake notes losses, and the loss reporter records the episodes as `gaps`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Gap;
use executor_core::time::Moment;
use executor_core::{DropReason, Entity, SessionId, Timestamp};
use tokio::time::Instant;

/// An episode counts at most this many listeners and jobs individually.
const ENTITIES_MAX: usize = 1_000;

/// An episode ends when nothing was lost for this long.
pub(crate) const QUIET: Duration = Duration::from_secs(30);

/// The maximum number of episodes that wait for the store. Beyond it, two episodes with the same reason are
/// merged.
const WAITING_MAX: usize = 256;

/// The time span that "lately" covers.
const LATELY: Duration = Duration::from_secs(60);

/// Losses with the same reason that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Episode {
    pub(crate) reason: DropReason,
    pub(crate) count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    last_noted: Instant,
    entities: HashMap<Arc<Entity>, u64>,
    /// The part of the count that the store knows of.
    written: u64,
}

impl Episode {
    fn begin(reason: DropReason, first_at: Timestamp, now: Moment) -> Self {
        Self {
            reason,
            count: 0,
            first_at,
            last_at: first_at,
            last_noted: now.monotonic,
            entities: HashMap::new(),
            written: 0,
        }
    }

    fn note(&mut self, entity: Option<&Arc<Entity>>, count: u64, now: Moment) {
        self.count += count;
        self.last_at = self.last_at.max(now.wall);
        self.last_noted = now.monotonic;
        let Some(entity) = entity else { return };
        let has_room = self.entities.len() < ENTITIES_MAX;
        match self.entities.get_mut(entity) {
            Some(known) => *known += count,
            None if has_room => {
                self.entities.insert(Arc::clone(entity), count);
            }
            None => {}
        }
    }

    fn absorb(&mut self, later: Self) {
        self.count += later.count;
        self.last_at = self.last_at.max(later.last_at);
        for (entity, count) in later.entities {
            if self.entities.len() < ENTITIES_MAX || self.entities.contains_key(&entity) {
                *self.entities.entry(entity).or_default() += count;
            }
        }
    }

    fn gap(&self, session: SessionId) -> Gap {
        let mut entities: Vec<(Arc<Entity>, u64)> = self.entities.clone().into_iter().collect();
        // The most affected first; ties in an arbitrary but stable order.
        entities.sort_by_key(|(entity, count)| (std::cmp::Reverse(*count), entity.to_string()));
        Gap {
            session,
            reason: self.reason.into(),
            count: self.count,
            first_at: self.first_at,
            last_at: self.last_at,
            entities,
        }
    }
}

/// All episodes that are still open or that the store does not know of yet.
#[derive(Default)]
pub(crate) struct Losses {
    open: [Option<Episode>; DropReason::ALL.len()],
    ended: Vec<Episode>,
    /// The time at which the last episode of each reason began, which identifies the episode.
    last_first_at: [Option<Timestamp>; DropReason::ALL.len()],
    /// The number of losses of each reason that the store knows of.
    told: [u64; DropReason::ALL.len()],
    /// Losses per second over the last [`LATELY`].
    lately: VecDeque<(Instant, u64)>,
}

impl Losses {
    /// Notes losses. Returns `true` if they begin an episode.
    pub(crate) fn note(
        &mut self,
        reason: DropReason,
        entity: Option<&Arc<Entity>>,
        count: u64,
        now: Moment,
    ) -> bool {
        self.remember(count, now.monotonic);
        let place = reason as usize;
        let begins = self.open[place].is_none();
        if begins {
            // Two episodes never begin at the same time, however coarse the clock.
            let after =
                self.last_first_at[place].map(|at| Timestamp::from_micros(at.as_micros() + 1));
            let first_at = after.map_or(now.wall, |after| after.max(now.wall));
            self.last_first_at[place] = Some(first_at);
            self.open[place] = Some(Episode::begin(reason, first_at, now));
        }
        if let Some(episode) = &mut self.open[place] {
            episode.note(entity, count, now);
        }
        begins
    }

    /// Notes losses of unknown entities; does nothing for a count of 0.
    pub(crate) fn note_some(&mut self, reason: DropReason, count: u64, now: Moment) {
        if count > 0 {
            self.note(reason, None, count, now);
        }
    }

    fn remember(&mut self, count: u64, now: Instant) {
        match self.lately.back_mut() {
            Some((second, sum))
                if now.saturating_duration_since(*second) < Duration::from_secs(1) =>
            {
                *sum += count;
            }
            _ => self.lately.push_back((now, count)),
        }
        while self.lately.len() > LATELY.as_secs() as usize + 1 {
            self.lately.pop_front();
        }
    }

    /// Returns how many records were lost in the last minute, to the second.
    pub(crate) fn lately(&self, now: Instant) -> u64 {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < LATELY;
        let recent = self.lately.iter().filter(|(at, _)| is_recent(*at));
        recent.map(|(_, count)| count).sum()
    }

    /// Ends the episode of this reason, if there is one, and returns its count.
    pub(crate) fn end(&mut self, reason: DropReason) -> Option<u64> {
        let episode = self.open[reason as usize].take()?;
        let count = episode.count;
        self.ended.push(episode);
        if self.ended.len() > WAITING_MAX {
            self.merge_two();
        }
        Some(count)
    }

    /// Returns the open episodes that end after a quiet time. Overflow is not among them: a full queue may stay
    /// full without a loss.
    fn may_be_quiet(&self) -> impl Iterator<Item = &Episode> {
        let open = self.open.iter().flatten();
        open.filter(|episode| episode.reason != DropReason::Overflow)
    }

    /// Ends the episodes in which nothing was lost for a while.
    pub(crate) fn end_quiet(&mut self, now: Instant) {
        let is_quiet =
            |episode: &&Episode| now.saturating_duration_since(episode.last_noted) >= QUIET;
        let quiet = self.may_be_quiet().filter(is_quiet);
        let quiet: Vec<DropReason> = quiet.map(|episode| episode.reason).collect();
        for reason in quiet {
            self.end(reason);
        }
    }

    /// Returns when the next open episode may end; `None` if there is none.
    pub(crate) fn next_quiet(&self) -> Option<Instant> {
        let open = self.may_be_quiet();
        open.map(|episode| episode.last_noted + QUIET).min()
    }

    /// Merges the first two ended episodes that share a reason.
    fn merge_two(&mut self) {
        for first in 0..self.ended.len() {
            let reason = self.ended[first].reason;
            let rest = &self.ended[first + 1..];
            if let Some(next) = rest.iter().position(|episode| episode.reason == reason) {
                let later = self.ended.remove(first + 1 + next);
                self.ended[first].absorb(later);
                return;
            }
        }
    }

    /// Counts losses that are reported under the session that offered the records.
    pub(crate) const fn told_elsewhere(&mut self, reason: DropReason, count: u64) {
        self.told[reason as usize] += count;
    }

    /// Returns how many losses of each reason the store knows of, in the order of [`DropReason::ALL`].
    pub(crate) const fn told(&self) -> [u64; DropReason::ALL.len()] {
        self.told
    }

    /// Returns the episodes that the store does not know completely.
    pub(crate) fn unwritten(&self, session: SessionId) -> Vec<Gap> {
        let all = self.ended.iter().chain(self.open.iter().flatten());
        let unwritten = all.filter(|episode| episode.written < episode.count);
        unwritten.map(|episode| episode.gap(session)).collect()
    }

    /// Marks gaps as known to the store. Forgets ended episodes that it knows completely.
    pub(crate) fn written(&mut self, gaps: &[Gap]) {
        let is_it = |episode: &Episode, gap: &Gap| {
            gap.reason == episode.reason.into() && episode.first_at == gap.first_at
        };
        for gap in gaps {
            let all = self.ended.iter_mut().chain(self.open.iter_mut().flatten());
            for episode in all.filter(|episode| is_it(episode, gap)) {
                self.told[episode.reason as usize] += gap.count - episode.written;
                episode.written = gap.count;
            }
        }
        self.ended.retain(|episode| episode.written < episode.count);
    }
}

#[cfg(test)]
mod tests;
