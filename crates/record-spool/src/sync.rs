//! Syncs to the medium: one round of syncs for all appends since the last one.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::core::Core;
use crate::segment::Segment;
use crate::segments::Segments;

/// The work of one round.
struct Round {
    segments: Vec<Arc<Segment>>,
    with_dir: bool,
    /// The ticket up to which everything is synced if the round succeeds.
    ticket: u64,
    sequence: u64,
    /// Frames are in a file that can no longer be synced, and are not yet written to another one.
    stuck: bool,
}

impl Core {
    /// Syncs everything appended so far. A file that fails is given up: its unsettled frames are
    /// written to another one, and count as synced after a later round.
    pub(crate) fn sync_round(&self) {
        let Some(round) = self.segments().begin_round() else {
            return;
        };
        let mut failed: Vec<(Arc<Segment>, io::Error)> = Vec::new();
        for segment in &round.segments {
            if let Err(error) = segment.sync() {
                failed.push((Arc::clone(segment), error));
            }
        }
        let dir = match round.with_dir {
            true => self.fs.sync_dir(&self.dir),
            false => Ok(()),
        };
        let succeeded = failed.is_empty() && dir.is_ok() && !round.stuck;
        let mut segments = self.segments();
        for (segment, error) in &failed {
            segments.give_up(segment, error);
        }
        match dir {
            // If no directory sync was due, the last one succeeded and nothing has changed since.
            Ok(()) => segments.note_entries(&round.segments),
            Err(error) => segments.give_up_entries(&error),
        }
        if succeeded {
            segments.finish_moves(round.ticket);
            segments.synced_ticket = segments.synced_ticket.max(round.ticket);
            segments.counts.sync_error = None;
        } else {
            segments.sync_wanted = true;
        }
        drop(segments);
        if succeeded {
            self.synced.advance(round.sequence);
        } else {
            self.move_forward(Instant::now());
        }
    }
}

impl Segments {
    fn begin_round(&mut self) -> Option<Round> {
        if !std::mem::take(&mut self.sync_wanted) {
            return None;
        }
        let mut segments = Vec::new();
        for held in self.held.iter_mut().filter(|held| !held.failed) {
            if std::mem::take(&mut held.dirty) || !held.entry_synced {
                segments.push(Arc::clone(&held.segment));
            }
        }
        let stuck = self
            .held
            .iter()
            .any(|held| held.failed && held.live > 0 && !held.moved_off);
        Some(Round {
            segments,
            with_dir: std::mem::take(&mut self.dir_dirty),
            ticket: self.written,
            sequence: self.next_sequence - 1,
            stuck,
        })
    }

    /// Gives up a file after a failed sync. The kernel may have marked pages clean that never reached
    /// the medium, so a second sync would succeed and prove nothing.
    fn give_up(&mut self, segment: &Segment, error: &io::Error) {
        self.note_sync_failure("sync a segment", error);
        let is_it = |other: &Segment| other.is_same_file(segment);
        self.trash
            .extend(self.free.extract_if(.., |free| is_it(free)));
        while let Some(index) = self.spares.iter().position(is_it) {
            self.trash.extend(self.spares.remove(index));
        }
        let held = self.held.iter_mut().filter(|held| is_it(&held.segment));
        let numbers: Vec<u64> = held
            .map(|held| {
                held.failed = true;
                held.moved_off = false;
                held.segment.number
            })
            .collect();
        self.seal_if_failed(&numbers);
    }

    /// Gives up the segments whose names may never have reached the medium: then neither have they.
    fn give_up_entries(&mut self, error: &io::Error) {
        self.note_sync_failure("sync the directory", error);
        self.dir_dirty = true;
        let held = self.held.iter_mut().filter(|held| !held.entry_synced);
        let numbers: Vec<u64> = held
            .map(|held| {
                held.failed = true;
                held.moved_off = false;
                held.segment.number
            })
            .collect();
        self.trash.append(&mut self.free);
        self.trash.extend(self.spares.drain(..));
        self.seal_if_failed(&numbers);
    }

    fn seal_if_failed(&mut self, numbers: &[u64]) {
        if self.held.back().is_some_and(|held| held.failed) {
            self.seal();
        }
        // A segment that was sealed with nothing left in it has only by chance not been freed before.
        for number in numbers {
            self.free_if_done(*number);
        }
        self.work = true;
    }

    fn note_entries(&mut self, segments: &[Arc<Segment>]) {
        for segment in segments {
            if let Some(held) = self.find(segment.number) {
                held.entry_synced = true;
            }
        }
    }
}
