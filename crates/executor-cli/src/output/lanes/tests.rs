//! Tests of `lanes.rs`.

use proptest::prelude::*;

use super::*;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

const fn piece(from: i64, to: i64, mark: char) -> Piece {
    Piece {
        from: at(from),
        to: at(to),
        mark,
        is_loud: mark == 'E',
    }
}

/// Ten characters for a hundred seconds.
const SCALE: Scale = Scale {
    from: at(0),
    to: at(100),
    width: 10,
};

#[test]
fn pieces_lie_where_they_were() {
    let pieces = [piece(0, 20, 'a'), piece(50, 51, 'b'), piece(90, 500, 'c')];
    assert_eq!(SCALE.lanes(&pieces, 9), ["aa   b   c"]);
    assert_eq!(
        SCALE.lanes(&[piece(-9, -1, 'a'), piece(101, 102, 'a')], 9),
        [""; 0]
    );
    assert_eq!(SCALE.lanes(&[piece(100, 100, 'a')], 9), ["         a"]);
}

#[test]
fn what_overlaps_is_on_another_lane() {
    let pieces = [piece(0, 50, 'a'), piece(40, 70, 'b'), piece(60, 90, 'c')];
    assert_eq!(SCALE.lanes(&pieces, 9), ["aaaaa ccc ", "    bbb   "]);
    assert_eq!(SCALE.lanes(&pieces, 1), ["aaaabbccc "], "over each other");
}

#[test]
fn what_shares_a_character_only_is_on_the_same_lane_and_failures_are_seen() {
    let pieces = [
        piece(0, 1, 'a'),
        piece(1, 2, 'E'),
        piece(2, 3, 'a'),
        piece(15, 16, 'a'),
    ];
    assert_eq!(SCALE.lanes(&pieces, 9), ["Ea        "]);
}

proptest! {
    #[test]
    fn a_lane_is_as_wide_as_the_drawing_and_no_piece_is_left_out(
        pieces in prop::collection::vec((-200_i64..300, 0_i64..300), 1..12), width in 1_usize..50,
    ) {
        let scale = Scale { width, ..SCALE };
        let pieces = pieces.iter().map(|(from, length)| piece(*from, from + length, 'x'));
        let mut pieces: Vec<Piece> = pieces.collect();
        pieces.sort_by_key(|piece| piece.from);
        let lanes = scale.lanes(&pieces, usize::MAX);
        prop_assert!(lanes.iter().all(|lane| lane.chars().count() == width));
        for piece in &pieces {
            if let Some(place) = scale.place(piece) {
                let is_on = |lane: &String| lane.chars().skip(place.start).take(place.len()).all(|it| it == 'x');
                prop_assert!(lanes.iter().any(is_on), "{piece:?}");
            }
        }
    }
}
