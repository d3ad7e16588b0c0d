//! Memory that a segment lives in, as words: the only module with `unsafe` code.
//!
//! # Invariants
//!
//! 1. A [`Map`] owns its memory, and its address and length never change while it lives.
//! 2. The memory is aligned to 8 bytes and is reached as `&[AtomicU64]` only, here and everywhere
//!    else. So no two accesses race, whichever threads, mappings of the same file or other processes
//!    make them. The order in which words are published, not this module, keeps readers from
//!    half-written data.
//! 3. The file behind a mapping is at least as long as the mapping when it is made, with all
//!    its blocks allocated. A process that truncates the file while it is mapped kills this one with
//!    a bus error; nothing in this crate does, and the spool's lock keeps its own kind away.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// A range of memory whose length in bytes is a multiple of 8.
#[derive(Debug)]
pub(crate) struct Map(Memory);

#[derive(Debug)]
enum Memory {
    File(MmapRaw),
    /// Holds a file that recovery reads, and replaces a mapping where there is no file.
    Heap(Arc<[AtomicU64]>),
}

impl Map {
    /// Maps the first `bytes` of the file, shared with everyone else who maps it.
    pub(crate) fn of_file(file: &File, bytes: u64) -> io::Result<Self> {
        if file.metadata()?.len() < bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let map = MmapOptions::new().len(bytes & !7).map_raw(file)?;
        Ok(Self(Memory::File(map)))
    }

    /// Zeros.
    pub(crate) fn on_heap(bytes: usize) -> Self {
        let words = std::iter::repeat_with(|| AtomicU64::new(0)).take(bytes / 8);
        Self(Memory::Heap(words.collect()))
    }

    /// The same memory again, as two mappings of one file are.
    #[cfg(test)]
    pub(crate) fn share(&self) -> Self {
        match &self.0 {
            Memory::File(_) => panic!("a simulated file is on the heap"),
            Memory::Heap(words) => Self(Memory::Heap(Arc::clone(words))),
        }
    }

    /// A copy of these bytes, filled up with zeros to whole words.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let map = Self::on_heap(bytes.len().next_multiple_of(8));
        map.write(0, bytes);
        map
    }

    /// Makes every page present and writable before it is needed. Best effort: otherwise the first
    /// write to each page pays for it.
    pub(crate) fn populate(&self) {
        #[cfg(target_os = "linux")]
        if let Memory::File(map) = &self.0
            && map.advise(memmap2::Advice::PopulateWrite).is_err()
        {
            // Kernels before 5.14. Read-ahead would be useless, because the spool only appends.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.words().len() * 8
    }

    fn words(&self) -> &[AtomicU64] {
        match &self.0 {
            // SAFETY: the mapping begins at a page, so it is aligned; it is `len` bytes long and
            // lives as long as `self`; any bytes are valid words; and the words are only ever
            // reached as atomics, which may be shared and written through (invariants 1 and 2).
            Memory::File(map) => unsafe {
                std::slice::from_raw_parts(map.as_mut_ptr().cast_const().cast(), map.len() / 8)
            },
            Memory::Heap(words) => words,
        }
    }

    /// The word at this offset in bytes.
    ///
    /// # Panics
    ///
    /// Here and below: if the range is not inside the memory.
    pub(crate) fn word(&self, offset: u32) -> u64 {
        u64::from_le(self.words()[offset as usize / 8].load(Ordering::Relaxed))
    }

    pub(crate) fn set_word(&self, offset: u32, word: u64) {
        store(
            &self.words()[offset as usize / 8],
            word.to_le(),
            Ordering::Relaxed,
        );
    }

    /// Stores a word after everything that this thread has stored before.
    pub(crate) fn publish_word(&self, offset: u32, word: u64) {
        store(
            &self.words()[offset as usize / 8],
            word.to_le(),
            Ordering::Release,
        );
    }

    /// Writes bytes, the last word filled up with zeros.
    pub(crate) fn write(&self, offset: u32, bytes: &[u8]) {
        let first = offset as usize / 8;
        let words = &self.words()[first..first + bytes.len().div_ceil(8)];
        let (whole, rest) = bytes.as_chunks::<8>();
        for (word, bytes) in words.iter().zip(whole) {
            store(word, u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let last = rest
                .iter()
                .rev()
                .fold(0, |word, byte| (word << 8) | u64::from(*byte));
            store(&words[whole.len()], last.to_le(), Ordering::Relaxed);
        }
    }

    /// Replaces the content of `bytes` with `length` bytes from `offset`.
    pub(crate) fn read(&self, offset: u32, length: usize, bytes: &mut Vec<u8>) {
        let first = offset as usize / 8;
        bytes.clear();
        bytes.reserve(length.next_multiple_of(8));
        for word in &self.words()[first..first + length.div_ceil(8)] {
            bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes.truncate(length);
    }
}

/// Every store goes through here, so that tests can make a process die between any two of them.
#[inline]
fn store(word: &AtomicU64, value: u64, order: Ordering) {
    #[cfg(test)]
    if !crate::tests::dying::may_store() {
        return;
    }
    word.store(value, order);
}

#[cfg(test)]
mod tests;
