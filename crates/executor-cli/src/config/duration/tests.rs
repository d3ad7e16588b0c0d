//! Tests of `duration.rs`.

use super::*;

#[test]
fn durations_are_read_as_people_write_them() {
    let read = |text: &str| text.parse::<Span>().map(|span| span.0);
    assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(read("2h30m"), Ok(Duration::from_secs(9_000)));
    assert_eq!(read("1m 30s"), Ok(Duration::from_secs(90)));
    assert_eq!(read("7d"), Ok(Duration::from_secs(7 * 86_400)));
    assert_eq!(
        read("2w 1d12h"),
        Ok(Duration::from_secs(15 * 86_400 + 43_200))
    );
    for bad in [
        "",
        "10",
        "soon",
        "0s",
        "-5s",
        "5 parsecs",
        "999999999999999999999s",
        "99999999d",
        "1d12",
        "d",
    ] {
        let error = read(bad).unwrap_err();
        assert!(error.contains("write it like"), "{bad}: {error}");
    }
}

#[test]
fn a_span_is_shown_as_it_is_written() {
    assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m 30s");
}
