//! A compact histogram of durations. Its buckets grow by a constant factor, so any percentile is known
//! within 2 %. Two sketches are merged by adding their counts.

/// The maximum relative error of a percentile (plus half a microsecond).
pub const RELATIVE_ERROR: f64 = 0.02;

/// The first byte of an encoded sketch.
const VERSION: u8 = 1;

/// Bucket 0 holds zero microseconds; bucket `n` holds durations above `GAMMA^(n - 2)` and up to
/// `GAMMA^(n - 1)`.
const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);

/// Counts of durations. Dense, because queries merge thousands of sketches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    counts: Vec<u64>,
}

/// The bytes are no sketch that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotASketch;

impl Sketch {
    pub(crate) fn add(&mut self, micros: u64) {
        self.add_to(bucket_of(micros), 1);
    }

    fn add_to(&mut self, bucket: usize, count: u64) {
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        let counted = &mut self.counts[bucket];
        *counted = counted.saturating_add(count);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.counts.iter().enumerate() {
            self.add_to(bucket, *count);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        let counts = self.counts.iter();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the duration in microseconds that `per_mille` of a thousand did not exceed; 0 if there are none. The
    /// longest of all is known exactly, so a percentile that means it is, too: one run has no percentile below its
    /// average.
    pub(crate) fn per_mille(&self, per_mille: u64, longest: u64) -> u64 {
        // The same rank as over the rows: the smallest that covers this share.
        let rank = (u128::from(self.total()) * u128::from(per_mille)).div_ceil(1_000);
        let rank = rank.max(1);
        if rank == u128::from(self.total()) {
            return longest;
        }
        let mut seen = 0_u128;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return value_of(bucket).min(longest);
            }
        }
        0
    }

    /// Encodes the version, then pairs of varints: the number of empty buckets to skip, and a count.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let mut next = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            if *count > 0 {
                push_varint(&mut bytes, (bucket - next) as u64);
                push_varint(&mut bytes, *count);
                next = bucket + 1;
            }
        }
        bytes
    }

    /// Adds an encoded sketch to this one.
    pub(crate) fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), NotASketch> {
        let (VERSION, mut rest) = bytes.split_first().map_or((0, bytes), |(v, r)| (*v, r)) else {
            return Err(NotASketch);
        };
        let mut bucket = 0_u64;
        while !rest.is_empty() {
            bucket = bucket.saturating_add(take_varint(&mut rest)?);
            let count = take_varint(&mut rest)?;
            if bucket > bucket_of(u64::MAX) as u64 {
                return Err(NotASketch);
            }
            self.add_to(bucket as usize, count);
            bucket += 1;
        }
        Ok(())
    }
}

fn bucket_of(micros: u64) -> usize {
    match micros {
        0 => 0,
        micros => (micros as f64).log(GAMMA).ceil() as usize + 1,
    }
}

/// Returns the value with the same relative distance to both ends of the bucket.
fn value_of(bucket: usize) -> u64 {
    match bucket {
        0 => 0,
        bucket => {
            let upper = GAMMA.powi(i32::try_from(bucket - 1).unwrap_or(i32::MAX));
            (2.0 * upper / (GAMMA + 1.0)).round() as u64
        }
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number as u8) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, NotASketch> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(NotASketch)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(NotASketch)
}

#[cfg(test)]
mod tests;
