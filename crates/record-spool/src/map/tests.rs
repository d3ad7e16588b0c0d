//! Tests of `map.rs`.

use super::*;

#[test]
fn bytes_of_any_length_come_back_and_the_last_word_is_filled_up() {
    for length in 0..40 {
        let map = Map::copy_of(&[0xFF; 64]);
        let bytes: Vec<u8> = (1..=length).collect();
        map.write(8, &bytes);
        let mut read = Vec::new();
        map.read(8, bytes.len(), &mut read);
        assert_eq!(read, bytes);
        map.read(8, bytes.len().next_multiple_of(8), &mut read);
        assert!(read[bytes.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(map.word(0), u64::MAX);
    }
}

#[test]
fn words_are_little_endian_wherever_this_runs() {
    let map = Map::on_heap(16);
    map.publish_word(8, 0x0102);
    let mut read = Vec::new();
    map.read(8, 8, &mut read);
    assert_eq!(read, [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(map.word(8), 0x0102);
}

#[test]
#[cfg_attr(miri, ignore = "there is no mapping of files under miri")]
fn a_mapping_is_the_file_and_a_short_file_is_refused() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(4_096).expect("grown");
    let map = Map::of_file(&file, 4_096).expect("mapped");
    map.populate();
    map.set_word(4_088, 7);
    let again = Map::of_file(&file, 4_096).expect("mapped twice");
    assert_eq!((again.word(4_088), again.len()), (7, 4_096));
    assert!(Map::of_file(&file, 8_192).is_err());
}
