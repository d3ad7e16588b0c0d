//! What has to hold of any bytes that are read as a segment. Shared by the fuzz target and by the
//! driver among the tests, which runs it without a fuzzer.

use record_spool::{Entry, dump_bytes};

/// The number of the segments in the corpus, as it stands in their name.
const NAME: &str = "segment-0123456789abcd01.spool";

/// Reads the bytes as a segment. Returns how many frames there are.
///
/// # Panics
///
/// If what is reported contradicts itself.
pub fn check(bytes: &[u8]) -> u64 {
    // A cut file is read as if zeros filled up its last word.
    let mut filled = bytes.to_vec();
    filled.resize(bytes.len().next_multiple_of(8), 0);
    let mut end = 0;
    let (mut frames, mut unsettled, mut damaged) = (0, 0, 0);
    let report = dump_bytes(NAME, bytes, |_, entry| match entry {
        None => {}
        Some(Entry::Damage {
            offset,
            bytes: length,
        }) => {
            assert!(offset >= end, "pieces overlap");
            end = offset + length;
            damaged += u64::from(length);
        }
        Some(Entry::Frame {
            offset,
            payload,
            settled,
            ..
        }) => {
            assert!(offset >= end, "pieces overlap");
            assert_eq!(offset % 8, 0);
            let start = offset as usize + 24;
            end = (start + payload.len()) as u32;
            assert_eq!(filled.get(start..start + payload.len()), Some(payload));
            frames += 1;
            unsettled += u64::from(!settled);
        }
    });
    assert!(end as usize <= filled.len());
    assert_eq!((report.frames, report.unsettled), (frames, unsettled));
    assert!(report.damaged_bytes >= damaged);
    frames
}
