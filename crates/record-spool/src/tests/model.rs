//! Random sequences of calls against a queue in a vector; each ends with the death of the process
//! and what the next one finds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::sim::SimFs;
use crate::core::Core;
use crate::fs::{Fs, Lock};
use crate::maintenance::Backoff;
use crate::position::Position;
use crate::spool::open_core;
use crate::{Abandoned, Durability, SpoolOptions};

const DIR: &str = "/root/own";

#[derive(Clone, Debug)]
enum Call {
    Append {
        length: usize,
    },
    Pin {
        length: usize,
    },
    Release {
        which: prop::sample::Index,
    },
    Replace {
        which: prop::sample::Index,
        length: usize,
    },
    Read {
        max_frames: usize,
        max_bytes: usize,
    },
    Settle {
        which: Vec<prop::sample::Index>,
    },
    /// The thread's work, so much later.
    Keep {
        later_ms: u64,
    },
    Sync,
}

fn calls() -> impl Strategy<Value = Call> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        8 => (0_usize..300).prop_map(|length| Call::Append { length }),
        1 => (0_usize..4_000).prop_map(|length| Call::Append { length }),
        3 => (0_usize..60).prop_map(|length| Call::Pin { length }),
        2 => which().prop_map(|which| Call::Release { which }),
        2 => (which(), 0_usize..300).prop_map(|(which, length)| Call::Replace { which, length }),
        3 => (0_usize..40, 0_usize..4_000)
            .prop_map(|(max_frames, max_bytes)| Call::Read { max_frames, max_bytes }),
        3 => prop::collection::vec(which(), 0..40).prop_map(|which| Call::Settle { which }),
        3 => (0_u64..1_500).prop_map(|later_ms| Call::Keep { later_ms }),
        1 => Just(Call::Sync),
    ]
}

struct Model {
    fs: SimFs,
    core: Core,
    _lock: Lock,
    backoff: Backoff,
    now: Instant,
    unread: VecDeque<u64>,
    read: Vec<Position>,
    pins: Vec<Position>,
    /// What is to be found again.
    kept: BTreeMap<u64, (u8, Vec<u8>)>,
}

impl Model {
    fn new(durability: Durability) -> Self {
        let fs = SimFs::default();
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let options = SpoolOptions {
            segment_bytes: 4 << 10,
            max_bytes: 32 << 10,
            spares: 1,
            durability,
            ..SpoolOptions::default()
        };
        let (core, lock) = open_core(&shared, Path::new(DIR), options).expect("started");
        Self {
            fs,
            core,
            _lock: lock,
            backoff: Backoff::new(),
            now: Instant::now(),
            unread: VecDeque::new(),
            read: Vec::new(),
            pins: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    fn append(&mut self, pinned: bool, length: usize) {
        let payload = vec![self.kept.len() as u8; length];
        let kind = length as u8;
        let Ok(position) = self.core.append(kind, pinned, &payload) else {
            return;
        };
        self.took(position, pinned, kind, payload);
    }

    fn replace(&mut self, which: prop::sample::Index, length: usize) {
        let index = which.index(self.pins.len());
        let (pin, payload, kind) = (self.pins[index], vec![0xE0; length], length as u8);
        if let Ok(position) = self.core.replace(pin, kind, &payload) {
            self.pins.swap_remove(index);
            self.kept.remove(&pin.sequence);
            self.took(position, false, kind, payload);
        }
    }

    fn took(&mut self, position: Position, pinned: bool, kind: u8, payload: Vec<u8>) {
        self.kept.insert(position.sequence, (kind, payload));
        if pinned {
            self.pins.push(position);
        } else {
            self.unread.push_back(position.sequence);
        }
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Append { length } => self.append(false, length),
            Call::Pin { length } => self.append(true, length),
            Call::Release { which } if !self.pins.is_empty() => {
                let pin = self.pins.swap_remove(which.index(self.pins.len()));
                self.core.release(pin);
                self.kept.remove(&pin.sequence);
            }
            Call::Replace { which, length } if !self.pins.is_empty() => {
                self.replace(which, length);
            }
            Call::Release { .. } | Call::Replace { .. } => {}
            Call::Read {
                max_frames,
                max_bytes,
            } => self.read(max_frames, max_bytes),
            Call::Settle { which } => self.settle(&which),
            Call::Keep { later_ms } => {
                self.now += Duration::from_millis(later_ms);
                self.core.maintain(self.now, &mut self.backoff);
            }
            Call::Sync if self.core.is_power => self.core.sync_round(),
            Call::Sync => {}
        }
    }

    fn read(&mut self, max_frames: usize, max_bytes: usize) {
        let frames = self.core.read(max_frames, max_bytes).frames;
        let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
        let longest = frames
            .first()
            .map_or(0, |frame| frame.payload.len())
            .max(max_bytes);
        assert!(frames.len() <= max_frames && bytes <= longest);
        assert_eq!(frames.is_empty(), max_frames == 0 || self.unread.is_empty());
        for frame in frames {
            assert_eq!(self.unread.pop_front(), Some(frame.position.sequence));
            assert_eq!(
                self.kept[&frame.position.sequence],
                (frame.kind, frame.payload)
            );
            self.read.push(frame.position);
        }
    }

    fn settle(&mut self, which: &[prop::sample::Index]) {
        if self.read.is_empty() {
            return;
        }
        let chosen: BTreeSet<usize> = which
            .iter()
            .map(|which| which.index(self.read.len()))
            .collect();
        let positions: Vec<Position> = chosen
            .iter()
            .rev()
            .map(|index| self.read.swap_remove(*index))
            .collect();
        assert_eq!(self.core.settle(&positions), positions.len());
        assert_eq!(self.core.settle(&positions), 0, "once");
        for position in positions {
            self.kept.remove(&position.sequence);
        }
    }

    fn check(&self) {
        let usage = self.core.usage();
        assert_eq!(usage.unread, self.unread.len() as u64);
        assert_eq!(
            usage.unsettled,
            (self.unread.len() + self.read.len()) as u64
        );
        assert_eq!(usage.pinned, self.pins.len() as u64);
        assert!(usage.bytes <= usage.max_bytes);
        assert_eq!((usage.damaged, usage.last_error), (0, None));
    }

    fn die(&self) {
        let left = Arc::new(self.fs.after_kill());
        let opened = Abandoned::open_in(left, Path::new(DIR)).expect("opened");
        let mut abandoned = opened.expect("nobody holds it");
        let frames = abandoned.read(usize::MAX, usize::MAX).expect("read");
        let found: BTreeMap<_, _> = frames
            .into_iter()
            .map(|frame| (frame.position.sequence, (frame.kind, frame.payload)))
            .collect();
        assert_eq!(found, self.kept);
        assert_eq!(abandoned.damage().segments, 0);
    }
}

fn follow(durability: Durability, calls: Vec<Call>) {
    let mut model = Model::new(durability);
    for call in calls {
        model.call(call);
        model.check();
    }
    model.die();
}

proptest! {
    #[test]
    fn the_spool_is_a_queue_that_the_next_process_continues(
        calls in prop::collection::vec(calls(), 0..400),
    ) {
        follow(Durability::Process, calls);
    }

    #[test]
    fn the_spool_is_the_same_queue_when_it_syncs(
        calls in prop::collection::vec(calls(), 0..400),
    ) {
        follow(Durability::Power { every: Duration::from_millis(50) }, calls);
    }
}
