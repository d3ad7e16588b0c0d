//! The fuzz target without a fuzzer: its corpus, and random changes to it, in an order that is the
//! same each time. `SPOOL_FUZZ_SECONDS` lets it go on for so long.

mod check;

use std::path::Path;
use std::time::{Duration, Instant};

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a fuzzer has kept, and the file of each version: random bytes alone hold no frame.
fn corpus() -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut paths = Vec::new();
    for directory in ["corpus", "fixtures"] {
        let entries = std::fs::read_dir(tests.join(directory)).expect("a corpus");
        paths.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("read"))
        .collect()
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], state: &mut u64) {
    for _ in 0..1 + next(state) % 6 {
        let length = bytes.len().max(1) as u64;
        let at = (next(state) % length) as usize;
        let end = bytes.len().min(at + 1 + (next(state) % 64) as usize);
        match next(state) % 8 {
            _ if bytes.is_empty() => bytes.push(next(state) as u8),
            0 | 1 => bytes[at] ^= 1 << (next(state) % 8),
            2 => bytes[at] = next(state) as u8,
            3 => bytes[at..end].fill([0, 0xFF, 0xA4, 0xA7][(next(state) % 4) as usize]),
            4 => bytes.truncate(at),
            5 => {
                let piece = bytes[at..end].to_vec();
                let to = (next(state) % length) as usize & !7;
                let end = bytes.len().min(to + piece.len());
                bytes[to..end].copy_from_slice(&piece[..end - to]);
            }
            6 => {
                let other = &corpus[(next(state) % corpus.len() as u64) as usize];
                let end = end.min(other.len());
                if at < end {
                    bytes[at..end].copy_from_slice(&other[at..end]);
                }
            }
            _ => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

#[test]
fn e04_no_bytes_make_the_decoder_fail_or_contradict_itself() {
    let corpus = corpus();
    let frames: u64 = corpus.iter().map(|bytes| check::check(bytes)).sum();
    assert!(frames > 0, "there are frames to begin with");
    let seconds = std::env::var("SPOOL_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|seconds| seconds.parse().expect("a number"));
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = std::env::var("SPOOL_SEED").ok();
    let mut state = seed.map_or(1, |seed| seed.parse().expect("a number"));
    let mut rounds = 0_u64;
    while until.map_or(rounds < 5_000, |until| Instant::now() < until) {
        let start = next(&mut state) % corpus.len() as u64;
        let mut bytes = corpus[start as usize].clone();
        change(&mut bytes, &corpus, &mut state);
        check::check(&bytes);
        rounds += 1;
    }
    println!("{rounds} rounds");
}

/// Every word of it looks like the beginning of the longest frame there is.
#[test]
fn e04_a_segment_full_of_what_looks_like_frames_is_read_in_linear_time() {
    let read = |bytes: usize| {
        let words = (0..bytes / 8).map(|_| (0xA4_u64 << 24 | 1 << 20).to_le_bytes());
        let bytes: Vec<u8> = words.flatten().collect();
        let start = Instant::now();
        check::check(&bytes);
        start.elapsed()
    };
    // Read whole at each word, this would be a terabyte.
    assert!(read(16 << 20) < Duration::from_secs(60));
}
