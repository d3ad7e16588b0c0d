//! Tests of `frame.rs`.

use super::*;
use proptest::prelude::*;

fn heads() -> impl Strategy<Value = Head> {
    let flags = (any::<bool>(), any::<bool>());
    let length = 0_u32..=MAX_PAYLOAD as u32;
    (any::<u64>(), any::<u8>(), flags, length).prop_map(
        |(sequence, kind, (pinned, copied), length)| Head {
            sequence,
            kind,
            pinned,
            copied,
            length,
        },
    )
}

fn sums() -> impl Strategy<Value = PayloadSum> {
    any::<u32>().prop_map(PayloadSum)
}

fn places() -> impl Strategy<Value = Place> {
    (any::<u64>(), any::<u32>()).prop_map(|(number, offset)| Place { number, offset })
}

proptest! {
    #[test]
    fn the_checksum_is_that_of_the_payload_and_the_trailer(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        trailer in any::<[u8; 32]>(),
    ) {
        let sum = PayloadSum::of(&payload).with(crc32c(&trailer));
        let whole = [&payload[..], &trailer].concat();
        prop_assert_eq!(sum, crc32c(&whole));
    }

    #[test]
    fn what_was_sealed_opens_at_its_place(head in heads(), place in places(), sum in sums()) {
        let words = seal(head, place, sum);
        prop_assert_ne!(words.commit, 0);
        let sealed = open(words, place).expect("sealed for this place");
        prop_assert_eq!(sealed.head, head);
        prop_assert!(!sealed.settled);
        prop_assert!(is_whole(sealed, sum));
    }

    #[test]
    fn e04_a_frame_opens_nowhere_else(head in heads(), place in places(), other in places()) {
        // Another segment, another offset, or both.
        let (number, offset) = (other.number, other.offset);
        let others = [other, Place { number, ..place }, Place { offset, ..place }];
        let words = seal(head, place, PayloadSum(0));
        for other in others.into_iter().filter(|other| *other != place) {
            prop_assert_eq!(open(words, other), None);
        }
    }

    #[test]
    fn e04_one_flipped_bit_outside_of_the_mark_is_noticed(
        head in heads(), place in places(), sum in sums(), bit in 0_u32..160,
    ) {
        let mut words = seal(head, place, sum);
        match bit {
            0..64 => words.commit ^= 1 << bit,
            64..128 => words.sequence ^= 1 << (bit - 64),
            _ => words.detail ^= 1 << (bit - 128),
        }
        let whole = open(words, place).is_some_and(|sealed| is_whole(sealed, sum));
        prop_assert!(!whole);
    }

    #[test]
    fn e04_a_damaged_mark_settles_nothing(
        head in heads(), place in places(), sum in sums(), flips in 1_u32..,
    ) {
        let mut words = seal(head, place, sum);
        let mark = settled_mark((words.commit >> 32) as u32);
        prop_assume!(flips != mark);
        words.detail ^= u64::from(flips) << 32;
        let sealed = open(words, place).expect("the mark is not covered");
        prop_assert!(!sealed.settled && is_whole(sealed, sum));
    }
}

#[test]
fn a_header_reads_back_and_notices_every_flipped_bit() {
    for records_before in [None, Some(0), Some(5)] {
        let header = Header {
            number: 7,
            first_sequence: 9,
            bytes: 4_096,
            records_before,
        };
        let words = write_header(header);
        assert_eq!(read_header(words), HeaderRead::Good(header));
        for bit in 0..512 {
            let mut flipped = words;
            flipped[bit / 64] ^= 1 << (bit % 64);
            assert_eq!(read_header(flipped), HeaderRead::Damaged, "bit {bit}");
        }
    }
    assert_eq!(read_header([0; 8]), HeaderRead::Blank);
}

#[test]
fn a_header_of_another_version_is_told_from_a_damaged_one() {
    let mut words = write_header(Header {
        number: 7,
        first_sequence: 9,
        bytes: 4_096,
        records_before: Some(1),
    });
    words[1] = 3;
    words[7] = u64::from(header_crc(&words));
    assert_eq!(read_header(words), HeaderRead::Foreign(3));
}
