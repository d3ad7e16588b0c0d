//! Tests of `counters.rs`.

use super::*;

#[test]
fn a_note_has_a_greatest_length_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("page");
    let longest = [7; NOTE_BYTES_MAX];
    drop(Counters::create(&path, &longest).unwrap());
    let (note, _) = Counters::read(&path).unwrap().unwrap();
    assert_eq!(note, longest);
    // A length that no page has, whatever stands there.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..12].fill(0xFF);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(Counters::read(&path).unwrap(), None);
}

#[test]
fn what_is_no_file_is_an_error_and_not_an_absence() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(
        Counters::read(root.path()),
        Err(SpoolError::Io { .. })
    ));
}

#[test]
fn a_check_is_the_lower_half_of_the_crc_of_value_and_place() {
    for (counter, value) in [
        (0, 0),
        (1, 0),
        (0, 1),
        (17, 0x1234_5678_9ABC),
        (31, COUNTER_MAX),
    ] {
        let bytes = (value << 8 | counter as u64).to_le_bytes();
        let crc = crc32c::crc32c(&bytes) as u16;
        assert_eq!(check(counter, value), u64::from(crc) ^ SEAL);
    }
}

#[test]
fn a_damaged_note_is_none_and_a_second_page_does_not_replace_the_first() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("page");
    assert_eq!(Counters::read(&path).unwrap(), None);
    drop(Counters::create(&path, b"note").unwrap());
    assert!(Counters::create(&path, b"another").is_err());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[17] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(Counters::read(&path).unwrap(), None);
    std::fs::write(&path, &bytes[..100]).unwrap();
    assert_eq!(Counters::read(&path).unwrap(), None);
    let long = [0; NOTE_BYTES_MAX + 1];
    assert!(Counters::create(&root.path().join("long"), &long).is_err());
}

proptest::proptest! {
    #[test]
    fn a_counters_check_is_the_crc_of_its_place_and_value(counter in 0..COUNTERS, value in 0..=COUNTER_MAX) {
        let bytes = (value << 8 | counter as u64).to_le_bytes();
        let crc = u64::from(crc32c::crc32c(&bytes) & 0xFFFF);
        proptest::prop_assert_eq!(check(counter, value), crc ^ SEAL);
    }
}

#[test]
fn c08_damage_to_a_counter_is_noticed_whichever_bit_it_is() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("page");
    let page = Counters::create(&path, b"note").unwrap();
    page.set(3, 20_000);
    page.set(127, u64::MAX);
    drop(page);
    let whole = std::fs::read(&path).unwrap();
    let counters = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Counters::read(&path).unwrap().unwrap().1
    };
    let expected = |counter| match counter {
        3 => 20_000,
        127 => COUNTER_MAX,
        _ => 0,
    };
    let known = counters(&whole);
    assert!((0..COUNTERS).all(|counter| known[counter] == Some(expected(counter))));
    for bit in 0..64 {
        let mut bytes = whole.clone();
        bytes[3_072 + 3 * 8 + bit / 8] ^= 1 << (bit % 8);
        let damaged = counters(&bytes);
        assert_eq!(damaged[3], None, "bit {bit}");
        assert_eq!((damaged[2], damaged[4]), (Some(0), Some(0)));
    }
    // Blanked, and moved by a place.
    let mut bytes = whole.clone();
    bytes[3_072..].fill(0);
    assert!(counters(&bytes).iter().all(Option::is_none));
    let mut bytes = whole;
    bytes.copy_within(3_072 + 24..3_072 + 32, 3_072 + 32);
    assert_eq!(counters(&bytes)[4], None);
}

#[test]
fn e07_a_page_of_the_first_version_is_read_and_counted_on() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("page");
    drop(Counters::create(&path, b"note").unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(b"RECPAGE1");
    bytes[3_072..].fill(0);
    bytes[3_072..3_080].copy_from_slice(&(1_u64 << 50).to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let page = Counters::open(&path).unwrap().unwrap();
    page.set(1, 7);
    let (note, counters) = Counters::read(&path).unwrap().unwrap();
    assert_eq!(note, b"note");
    assert_eq!(counters[..3], [Some(1 << 50), Some(7), Some(0)]);
}

#[test]
fn e07_a_page_of_a_newer_version_is_refused_and_a_damaged_digit_is_not_taken_for_one() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("page");
    drop(Counters::create(&path, b"note").unwrap());
    let ours = std::fs::read(&path).unwrap();
    let mut newer = ours.clone();
    newer[7] = b'3';
    std::fs::write(&path, &newer).unwrap();
    assert_eq!(Counters::read(&path).unwrap(), None, "ours, and damaged");
    // Its counters are something else.
    newer[3_072..].fill(7);
    std::fs::write(&path, &newer).unwrap();
    let refused = Counters::read(&path).unwrap_err();
    assert!(
        matches!(refused, SpoolError::Version { found: 3, .. }),
        "{refused}"
    );
    for digit in [b'0', b'2', b':'] {
        newer[7] = digit;
        std::fs::write(&path, &newer).unwrap();
        assert!(Counters::read(&path).is_ok(), "{}", char::from(digit));
    }
    newer[..8].copy_from_slice(b"RECPOGE3");
    std::fs::write(&path, &newer).unwrap();
    assert_eq!(Counters::read(&path).unwrap(), None);
}
