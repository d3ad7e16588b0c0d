//! Tests of `time.rs`.

use super::*;

#[test]
fn a_time_is_read_in_each_usual_form() {
    let expected = Some(Timestamp::from_micros(1_767_225_600_250_000));
    for number in [
        "1767225600.25",
        "1767225600250",
        "1767225600250000",
        "1767225600250000999",
        "1.76722560025e9",
    ] {
        assert_eq!(time_of(&Scalar::Number(number)), expected, "{number}");
        assert_eq!(time_of(&Scalar::Text(number.into())), expected, "{number}");
    }
    for text in [
        "2026-01-01T00:00:00.25Z",
        "2026-01-01T01:00:00.250+01:00",
        "2026-01-01 00:00:00.25Z",
    ] {
        assert_eq!(time_of(&Scalar::Text(text.into())), expected, "{text}");
    }
    for (number, micros) in [
        ("2238886008.094639", 2_238_886_008_094_639),
        ("133646.368501", 133_646_368_501),
    ] {
        let expected = Some(Timestamp::from_micros(micros));
        assert_eq!(time_of(&Scalar::Number(number)), expected, "{number}");
    }
    let seconds = Some(Timestamp::from_micros(99_999_999_999_000_000));
    assert_eq!(time_of(&Scalar::Number("99999999999")), seconds);
    let millis = Some(Timestamp::from_micros(100_000_000_000_000));
    assert_eq!(time_of(&Scalar::Number("100000000000")), millis);
}

#[test]
fn what_is_no_time_is_none() {
    for text in [
        "",
        "soon",
        "2026-01-01",
        "-1",
        "inf",
        "NaN",
        "0x10",
        "1e400",
        "99999999999999999999",
        "1e300",
    ] {
        assert_eq!(time_of(&Scalar::Text(text.into())), None, "{text}");
    }
    assert_eq!(time_of(&Scalar::Word("true")), None);
    assert_eq!(time_of(&Scalar::Container), None);
}
