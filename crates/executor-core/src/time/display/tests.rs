//! Tests of `display.rs`: beside another implementation.

use proptest::prelude::*;

use super::*;

#[test]
fn times_are_those_of_the_calendar() {
    let shown = |micros| Timestamp::from_micros(micros).to_string();
    assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
    assert_eq!(shown(-1), "1969-12-31T23:59:59.999999Z");
    assert_eq!(shown(951_782_399_000_000), "2000-02-28T23:59:59.000000Z");
    assert_eq!(shown(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
    assert_eq!(shown(4_107_542_400_000_000), "2100-03-01T00:00:00.000000Z");
    assert_eq!(shown(i64::MAX), "+294247-01-10T04:00:54.775807Z");
    assert_eq!(shown(i64::MIN), "-290308-12-21T19:59:05.224192Z");
    assert_eq!(
        format!("{:.3}", Timestamp::from_micros(1_999)),
        "1970-01-01T00:00:00.001Z"
    );
}

proptest! {
    #[test]
    fn they_are_those_of_jiff(micros in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
        let other = jiff::Timestamp::from_microsecond(micros).unwrap();
        prop_assert_eq!(Timestamp::from_micros(micros).to_string(), format!("{other:.6}"));
        prop_assert_eq!(format!("{:.0}", Timestamp::from_micros(micros)), format!("{:.0}", jiff::Timestamp::from_second(micros.div_euclid(1_000_000)).unwrap()));
    }
}
