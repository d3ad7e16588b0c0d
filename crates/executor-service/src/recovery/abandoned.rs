//! Reads one spool of a dead process: its records, then the executions that began and did not end, then the state
//! of its session.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use executor_core::lines::Lines;
use executor_core::ports::{Fate, Gap, Orphan, ProgramGroup, Session, SessionEnd};
use executor_core::time::Moment;
use executor_core::{DropReason, ExecutionId, ExecutionRecord, Ledger, Status, Timestamp};
use record_spool::{Abandoned, Blank, Counters, Frame, Position, SpoolError};

use crate::intake::losses::Losses;
use crate::recovery::orphans;
use crate::recovery::reckoning::{Counts, Noted, Reckoned, Segments, reckon};
use crate::spool::codec::{self, Start};
use crate::spool::counters::{note_on, noted_of};
use crate::spool::session_spool::{kind, page_of};

/// The maximum number of payload bytes read at once.
const READ_BYTES: usize = 4 << 20;

/// The most that the clock may have been set back since the last heartbeat.
const CLOCKS_DIFFER: Duration = Duration::from_secs(86_400);

pub(crate) struct AbandonedSession {
    abandoned: Abandoned,
    page_path: PathBuf,
    page: Option<Counters>,
    session: Arc<Session>,
    noted: Noted,
    /// True if counters were damaged when it was opened.
    is_rebuilt: bool,
    /// True once the store has counted the rows that are already there.
    store_has_counted: bool,
    /// The ledger as the process left it, plus the fates counted since.
    ledger: Ledger,
    /// Executions that began and, as far as was read, did not end.
    starts: HashMap<ExecutionId, (Position, Start)>,
    /// The programs that they started and had not seen the end of.
    programs: HashMap<ExecutionId, Vec<ProgramGroup>>,
    /// What they said, in the order in which it was handed over.
    said: HashMap<ExecutionId, Vec<(u64, Timestamp, Lines)>>,
    end: Option<(Position, SessionEnd)>,
    losses: Losses,
    /// The losses of the dead process by reason, and how many of them the store knew of.
    dropped_then: Counts,
    told_then: Counts,
    to_settle: Vec<Position>,
    is_at_end: bool,
    /// The last known time at which the process was alive: a heartbeat, a start or an end.
    alive_at: Timestamp,
}

/// Records to store, and the positions that settle them, one each.
#[derive(Default)]
pub(crate) struct Piece {
    pub(crate) records: Vec<ExecutionRecord>,
    pub(crate) positions: Vec<Position>,
    /// Programs of the interrupted ones that are still running.
    pub(crate) orphans: Vec<Orphan>,
}

impl AbandonedSession {
    /// Takes over a directory; returns `None` if its process is alive, or died before its first record.
    pub(crate) fn open(dir: &Path, now: Timestamp) -> Result<Option<Self>, SpoolError> {
        let Some(abandoned) = Abandoned::open(dir)? else {
            return Ok(None);
        };
        let page_path = page_of(dir);
        let noted = Counters::read(&page_path)?;
        let noted = noted.and_then(|(note, counters)| {
            let session = codec::read_session(&note).ok()?;
            Some((session, counters))
        });
        let (session, noted) = match noted {
            Some((session, counters)) => (session, noted_of(&counters)),
            None => (unknown_session(dir), Noted::default()),
        };
        Ok(Some(Self {
            abandoned,
            page: Counters::open(&page_path)?,
            page_path,
            session: Arc::new(session),
            ledger: noted.ledger(),
            dropped_then: noted.ledger().dropped,
            told_then: noted.told(),
            // A heartbeat far in the future was damaged, in a format that does not detect damage.
            alive_at: noted
                .heartbeat
                .filter(|at| *at <= now.saturating_add(CLOCKS_DIFFER))
                .unwrap_or(Timestamp::from_micros(0)),
            is_rebuilt: !noted.is_whole(),
            store_has_counted: false,
            noted,
            starts: HashMap::new(),
            programs: HashMap::new(),
            said: HashMap::new(),
            end: None,
            losses: Losses::default(),
            to_settle: Vec::new(),
            is_at_end: false,
        }))
    }

    pub(crate) const fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Returns the page beside its spool.
    #[cfg(feature = "process")]
    pub(crate) fn page_path(&self) -> &Path {
        &self.page_path
    }

    /// Returns whether counters were damaged when it was opened.
    pub(crate) const fn is_rebuilt(&self) -> bool {
        self.is_rebuilt
    }

    /// Returns whether only the store knows how many records were stored.
    pub(crate) const fn needs_stored(&self) -> bool {
        self.noted.needs_stored()
    }

    /// Sets how many of the session's own records are in the store.
    pub(crate) fn store_says(&mut self, own: u64) {
        self.noted = self.noted.with_stored(own);
        self.ledger = self.noted.ledger();
        self.store_has_counted = true;
    }

    /// Returns the next records, at most `max`, with the interrupted ones last; empty at the end.
    pub(crate) fn next(&mut self, max: usize) -> Result<Piece, SpoolError> {
        let mut piece = Piece::default();
        while !self.is_at_end && piece.records.is_empty() {
            let frames = self.abandoned.read(max, READ_BYTES)?;
            self.is_at_end = frames.is_empty();
            for frame in frames {
                self.sort_in(&frame, &mut piece)?;
            }
        }
        if piece.records.is_empty() {
            self.interrupted(max, &mut piece);
        }
        Ok(piece)
    }

    fn sort_in(&mut self, frame: &Frame, piece: &mut Piece) -> Result<(), SpoolError> {
        match self.take(frame, piece) {
            Ok(()) => Ok(()),
            // A newer version wrote it and knows how to handle it.
            Err(codec::Malformed::Version(found)) => Err(SpoolError::Version {
                path: self.page_path.with_extension(""),
                found: found.into(),
            }),
            Err(error) => {
                tracing::error!(%error, "REGRESSION: a spooled frame cannot be read");
                self.abandoned.settle(&[frame.position])
            }
        }
    }

    fn take(&mut self, frame: &Frame, piece: &mut Piece) -> Result<(), codec::Malformed> {
        let (position, payload) = (frame.position, &frame.payload);
        match frame.kind {
            kind::RECORD => self.take_record(position, codec::read_record(payload)?, piece),
            kind::START => {
                let start = codec::read_start(payload)?;
                self.alive_at = self.alive_at.max(start.started_at);
                self.starts.insert(start.execution_id, (position, start));
            }
            kind::LINES => {
                let (id, at, lines) = codec::read_lines(payload)?;
                let pieces = self.said.entry(id).or_default();
                pieces.push((position.sequence(), at, lines));
                self.to_settle.push(position);
            }
            kind::PROGRAM => {
                let (id, group) = codec::read_program(payload)?;
                self.programs.entry(id).or_default().push(group);
                self.to_settle.push(position);
            }
            kind::END => self.end = Some((position, codec::read_end(payload)?)),
            kind::SESSION => self.to_settle.push(position),
            _ => return Err(codec::Malformed::Value("kind")),
        }
        Ok(())
    }

    fn take_record(&mut self, position: Position, record: ExecutionRecord, piece: &mut Piece) {
        let id = record.execution_id;
        // The execution had ended; only its start was not released yet.
        if let Some((start, _)) = self.starts.remove(&id) {
            self.to_settle.push(start);
        }
        self.said.remove(&id);
        // Its programs were being ended.
        let entity = &record.subject.entity;
        let orphan = |group| Orphan::new(id, Arc::clone(entity), group);
        let living = self.living_programs(id).into_iter();
        piece.orphans.extend(living.map(orphan));
        self.alive_at = self.alive_at.max(record.ended_at());
        piece.records.push(record);
        piece.positions.push(position);
    }

    /// Adds interrupted executions. They count as running until the last sign of life: otherwise retention would
    /// at once delete the row of one that ran for days.
    fn interrupted(&mut self, max: usize, piece: &mut Piece) {
        let mut ids: Vec<ExecutionId> = self.starts.keys().copied().collect();
        ids.sort();
        for id in ids.into_iter().take(max) {
            if let Some((position, start)) = self.starts.remove(&id) {
                let mut record = start.interrupted();
                let living = self.living_programs(id);
                record.failure = orphans::failure(&living).map(Arc::new);
                let entity = &record.subject.entity;
                let orphan = |group| Orphan::new(id, Arc::clone(entity), group);
                piece.orphans.extend(living.into_iter().map(orphan));
                record.lines = self.lines_of(id, record.started_at).map(Arc::new);
                record.duration = self.alive_at.saturating_duration_since(record.started_at);
                piece.records.push(record);
                piece.positions.push(position);
            }
        }
    }

    /// Returns those of its programs that are still there. A group that was copied forward is found twice.
    fn living_programs(&mut self, id: ExecutionId) -> Vec<ProgramGroup> {
        let mut living = self.programs.remove(&id).unwrap_or_default();
        living.sort_by_key(|group| group.id);
        living.dedup();
        living.retain(orphans::is_alive);
        living
    }

    /// Joins what an execution said. A piece that was copied forward is found behind later ones.
    fn lines_of(&mut self, id: ExecutionId, started_at: Timestamp) -> Option<Lines> {
        let mut pieces = self.said.remove(&id)?;
        pieces.sort_by_key(|(sequence, ..)| *sequence);
        let pieces = pieces.iter().map(|(_, at, lines)| {
            let after = at.saturating_duration_since(started_at);
            (after, lines)
        });
        Lines::joined(pieces)
    }

    /// Marks frames as settled in their files, so that the next process skips them.
    pub(crate) fn settle(&mut self, positions: &[Position]) -> Result<(), SpoolError> {
        self.abandoned.settle(positions)
    }

    /// Counts a piece's fates in the session's ledger and notes them before any frame is marked: see
    /// [`reckoning`](crate::recovery::reckoning). Returns how many taken-over records are now in the store, and
    /// what was dropped.
    pub(crate) fn count(
        &mut self,
        records: &[ExecutionRecord],
        fates: &[Fate],
        now: Moment,
    ) -> (u64, Vec<(DropReason, u64)>) {
        let (mut stored, mut new) = (0, 0);
        let mut dropped = Vec::new();
        for (record, fate) in records.iter().zip(fates) {
            let was_offered = record.status != Status::Interrupted;
            match fate {
                // The execution had ended and its record is stored, so its start adds nothing.
                Fate::AlreadyThere if !was_offered => continue,
                Fate::AlreadyThere if self.store_has_counted => stored += 1,
                Fate::Stored | Fate::AlreadyThere | Fate::Detached => {
                    stored += 1;
                    new += 1;
                }
                Fate::SetAside { reason, .. } => {
                    self.losses
                        .note(*reason, Some(&record.subject.entity), 1, now);
                    self.ledger.add_dropped(*reason, 1);
                    dropped.push((*reason, 1));
                }
            }
            self.ledger.recovered += u64::from(!was_offered);
        }
        self.ledger.stored += new;
        self.note();
        (stored, dropped)
    }

    /// Computes the session's final ledger, now that everything was read.
    pub(crate) fn reckon(&self) -> Reckoned {
        let segments = Segments {
            appended: self.abandoned.records_appended(),
            damaged: self.abandoned.damage().frames,
        };
        let mut reckoned = reckon(&self.noted, segments, self.ledger);
        reckoned.ledger.is_rebuilt = self.is_rebuilt;
        reckoned
    }

    /// Returns the losses that the store does not know of yet.
    pub(crate) fn unwritten_gaps(&self) -> Vec<Gap> {
        self.losses.unwritten(self.session.id)
    }

    /// Marks gaps as known to the store.
    pub(crate) fn gaps_written(&mut self, gaps: &[Gap]) {
        self.losses.written(gaps);
        self.note();
    }

    /// Writes the counts to the page, where the next process finds them if this one dies.
    fn note(&self) {
        if let Some(page) = &self.page {
            let mut told = self.told_then;
            for (told, now) in told.iter_mut().zip(self.losses.told()) {
                *told += now;
            }
            note_on(page, &self.ledger, told);
        }
    }

    /// Notes the remaining losses: damaged records, and losses that the dead process did not report.
    pub(crate) fn note_missing(&mut self, now: Moment) {
        let damaged = self.reckon().damaged;
        for reason in DropReason::ALL {
            let mut dropped = self.dropped_then[reason as usize];
            if reason == DropReason::Damaged {
                dropped += damaged;
            }
            // An interrupted takeover may have recorded them already.
            let told = self.told_then[reason as usize];
            self.losses
                .note_some(reason, dropped.saturating_sub(told), now);
        }
    }

    /// Returns the end that the process noted, if it got that far.
    pub(crate) fn end(&self) -> Option<SessionEnd> {
        self.end.as_ref().map(|(_, end)| end.clone())
    }

    /// Removes settled files and, if no others are left, the page. Returns how many damaged files were moved
    /// aside.
    pub(crate) fn finish(mut self) -> Result<usize, SpoolError> {
        let ends = self.end.take().map(|(position, _)| position);
        let rest: Vec<Position> = self.to_settle.drain(..).chain(ends).collect();
        self.abandoned.settle(&rest)?;
        let damage = self.abandoned.damage();
        // More is missing than is visibly damaged, so the blank files must have held the rest.
        let blank = if self.reckon().damaged > damage.frames {
            Blank::Damaged
        } else {
            Blank::Unused
        };
        let finished = self.abandoned.finish(blank)?;
        for path in &finished.moved_aside {
            let (frames, path) = (damage.frames, path.display());
            tracing::error!(frames, %path, "moved a damaged spool file aside");
        }
        if finished.unsettled == 0 {
            // If that fails, the next start removes it.
            let _ = std::fs::remove_file(&self.page_path);
        }
        Ok(finished.moved_aside.len())
    }
}

/// Rebuilds the session of a directory without a page from the directory's name.
pub(crate) fn unknown_session(dir: &Path) -> Session {
    let name = dir.file_name().and_then(|name| name.to_str());
    let id = name.and_then(|name| uuid::Uuid::try_parse(name).ok());
    let id = id.unwrap_or_default();
    let started = id.get_timestamp().map(|time| time.to_unix());
    let micros = started.map_or(0, |(secs, nanos)| {
        secs * 1_000_000 + u64::from(nanos / 1_000)
    });
    let started_at = Timestamp::from_micros(i64::try_from(micros).unwrap_or(0));
    Session {
        pid: 0,
        ..Session::new(
            executor_core::SessionId::from_uuid(id),
            "unknown",
            started_at,
        )
    }
}
