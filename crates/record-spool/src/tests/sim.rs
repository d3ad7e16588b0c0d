//! A file system that can fail at its k-th operation, and whose machine can lose power at any
//! instant: what was not synced then reaches the medium or not, word by word or sector by sector.
//!
//! Directories and locks are taken as given; they are the caller's before anything is promised.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::fs::{Fs, Lock, SegmentFile};
use crate::map::Map;

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Which operations fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// Counted from 0.
    pub(super) at: u64,
    pub(super) errno: i32,
    pub(super) for_good: bool,
}

#[derive(Debug)]
struct Inode {
    memory: Map,
    bytes: u64,
    /// What is on the medium.
    medium: Vec<u64>,
    /// What the kernel believes to be on the medium: after a failed sync it is wrong.
    believed: Vec<u64>,
}

impl Inode {
    fn new(medium: Vec<u64>) -> Self {
        let memory = Map::on_heap(medium.len() * 8);
        for (offset, word) in (0..).step_by(8).zip(&medium) {
            memory.set_word(offset, *word);
        }
        Self {
            memory,
            bytes: medium.len() as u64 * 8,
            believed: medium.clone(),
            medium,
        }
    }

    fn words(&self) -> Vec<u64> {
        let offsets = (0..self.memory.len() as u32).step_by(8);
        offsets.map(|offset| self.memory.word(offset)).collect()
    }

    /// Each piece that is not believed to be there gets there or not.
    fn torn(&self, rng: &mut Rng) -> Vec<u64> {
        let piece = [1, 64][rng.below(2) as usize];
        let kept_of_8 = rng.below(9);
        let mut medium = self.medium.clone();
        let memory = self.words();
        for start in (0..medium.len()).step_by(piece) {
            let range = start..medium.len().min(start + piece);
            if memory[range.clone()] != self.believed[range.clone()] && rng.below(8) < kept_of_8 {
                medium[range.clone()].copy_from_slice(&memory[range]);
            }
        }
        medium
    }
}

#[derive(Clone, Debug)]
enum Change {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: Names,
    medium_names: Names,
    unsynced: Vec<Change>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    fault: Option<Fault>,
    /// One sync in so many fails; 0 for none.
    sync_fails_one_in: u64,
    rng: Option<Rng>,
    /// Losses of power that happened while an operation ran, not looked at yet.
    images: Vec<SimFs>,
    captures: bool,
}

impl World {
    fn operate(&mut self) -> io::Result<()> {
        let operation = self.operations;
        self.operations += 1;
        if self.captures {
            let mut rng = self.rng.clone().expect("captures draw");
            let image = self.after_power_loss(&mut rng);
            self.rng = Some(rng);
            self.images.push(image);
        }
        match self.fault {
            Some(fault) if operation == fault.at || (fault.for_good && operation > fault.at) => {
                Err(io::Error::from_raw_os_error(fault.errno))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn after_power_loss(&self, rng: &mut Rng) -> SimFs {
        let mut names = self.medium_names.clone();
        // A prefix, or any of them.
        let in_order = rng.one_in(2);
        let reached = rng.below(self.unsynced.len() as u64 + 1);
        for (index, change) in self.unsynced.iter().enumerate() {
            if if in_order {
                (index as u64) < reached
            } else {
                rng.one_in(2)
            } {
                change.apply(&mut names);
            }
        }
        let inodes = self.inodes.iter().map(|inode| Inode::new(inode.torn(rng)));
        SimFs::booted(inodes.collect(), names)
    }

    fn after_kill(&self) -> SimFs {
        let inodes = self.inodes.iter().map(|inode| Inode::new(inode.words()));
        SimFs::booted(inodes.collect(), self.names.clone())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SimFs(Arc<Mutex<World>>);

impl SimFs {
    fn booted(inodes: Vec<Inode>, names: Names) -> Self {
        Self(Arc::new(Mutex::new(World {
            inodes,
            medium_names: names.clone(),
            names,
            ..World::default()
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no panic under it")
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        self.world().fault = fault;
    }

    pub(super) fn operations(&self) -> u64 {
        self.world().operations
    }

    pub(super) fn fail_syncs(&self, one_in: u64, seed: u64) {
        let mut world = self.world();
        world.sync_fails_one_in = one_in;
        world.rng = Some(Rng(seed));
    }

    pub(super) fn capture(&self, captures: bool) {
        self.world().captures = captures;
    }

    pub(super) fn take_images(&self) -> Vec<Self> {
        std::mem::take(&mut self.world().images)
    }

    pub(super) fn after_power_loss(&self, rng: &mut Rng) -> Self {
        self.world().after_power_loss(rng)
    }

    pub(super) fn after_kill(&self) -> Self {
        self.world().after_kill()
    }
}

#[derive(Debug)]
struct SimFile(SimFs, usize);

impl SegmentFile for SimFile {
    fn map(&self, _bytes: u64) -> io::Result<Map> {
        let mut world = self.0.world();
        world.operate()?;
        Ok(world.inodes[self.1].memory.share())
    }

    fn read(&self) -> io::Result<(Map, u64)> {
        let mut world = self.0.world();
        world.operate()?;
        let inode = &world.inodes[self.1];
        let copy = Map::on_heap(inode.memory.len());
        for (offset, word) in (0..).step_by(8).zip(inode.words()) {
            copy.set_word(offset, word);
        }
        Ok((copy, inode.bytes))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.0.world();
        world.operate()?;
        let memory = &world.inodes[self.1].memory;
        let start = offset as u32 & !7;
        let mut word = memory.word(start).to_le_bytes();
        let at = (offset % 8) as usize;
        word[at..at + bytes.len()].copy_from_slice(bytes);
        memory.set_word(start, u64::from_le_bytes(word));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.0.world();
        world.operate()?;
        let one_in = world.sync_fails_one_in;
        let World { rng, inodes, .. } = &mut *world;
        let inode = &mut inodes[self.1];
        let fails = one_in > 0 && rng.as_mut().is_some_and(|rng| rng.one_in(one_in));
        let memory = inode.words();
        if fails {
            let rng = rng.as_mut().expect("it has drawn");
            inode.medium = inode.torn(rng);
        } else {
            for (index, word) in memory.iter().enumerate() {
                if *word != inode.believed[index] {
                    inode.medium[index] = *word;
                }
            }
        }
        inode.believed = memory;
        if fails {
            return Err(io::Error::other("the medium failed"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct SimLock(SimFs, PathBuf);

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Ok(mut world) = self.0.0.lock() {
            world.locks.remove(&self.1);
        }
    }
}

impl Fs for SimFs {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.world().operate()
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate()?;
        match world.names.keys().any(|path| path.parent() == Some(dir)) {
            true => Err(io::ErrorKind::DirectoryNotEmpty.into()),
            false => Ok(()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.operate()?;
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(names.collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut world = self.world();
        world.operate()?;
        let is_new = world.locks.insert(path.into());
        drop(world);
        Ok(is_new.then(|| Box::new(SimLock(self.clone(), path.into())) as Lock))
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let mut world = self.world();
        world.operate()?;
        let inode = world.inodes.len();
        world.inodes.push(Inode::new(vec![0; bytes as usize / 8]));
        world.change(Change::Create(path.into(), inode));
        drop(world);
        Ok(Arc::new(SimFile(self.clone(), inode)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let mut world = self.world();
        world.operate()?;
        let inode = world.names.get(path).copied();
        drop(world);
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile(self.clone(), inode)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate()?;
        world.change(Change::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate()?;
        world.change(Change::Remove(path.into()));
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.world().names.contains_key(path)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate()?;
        world.unsynced.clear();
        world.medium_names = world.names.clone();
        Ok(())
    }
}
