//! Properties of the decision which lines are too many.

use proptest::prelude::*;

use super::*;
use crate::identity::RowId;

/// What stays of executions, given from the latest backwards.
fn stays(said: &[(Option<u8>, u64)], all: u64, of_one: u64) -> Vec<bool> {
    let of = |who: Option<u8>| who.map(|row| RegistrationId::job(RowId::new(row.into())));
    let at = |place: usize| Timestamp::from_micros(1_000 - place as i64);
    let mut budget = LinesBudget::new(all, of_one);
    for (place, (who, bytes)) in said.iter().enumerate() {
        if !budget.add(at(place), of(*who), *bytes) {
            break;
        }
    }
    let bounds = budget.bounds();
    let goes = |place: usize, who: Option<u8>| {
        let mut bounds = bounds.iter();
        bounds.any(|it| at(place) <= it.until && it.of.is_none_or(|it| Some(it) == of(who)))
    };
    let places = said.iter().enumerate();
    places.map(|(place, (who, _))| !goes(place, *who)).collect()
}

proptest! {
    #[test]
    fn the_newest_stay_as_far_as_there_is_room_for_one_and_for_all(
        said in proptest::collection::vec((proptest::option::of(0_u8..3), 0_u64..50), 0..40),
        all in 0_u64..400,
        of_one in 0_u64..100,
    ) {
        let mut own = HashMap::<_, u64>::new();
        let mut sum = 0;
        let expected = said.iter().map(|(who, bytes)| {
            let own = own.entry(who).or_default();
            *own += bytes;
            let fits = who.is_none() || *own <= of_one;
            if fits {
                sum += bytes;
            }
            fits && sum <= all
        });
        let expected: Vec<bool> = expected.collect();
        prop_assert_eq!(stays(&said, all, of_one), expected);
    }
}
