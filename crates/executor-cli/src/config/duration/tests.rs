//! Tests of `duration.rs`.

use super::*;

#[test]
fn durations_are_read_as_people_write_them() {
    let read = |text: &str| text.parse::<Span>().map(|span| span.0);
    assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(read("2h30m"), Ok(Duration::from_secs(9_000)));
    assert_eq!(read("1m 30s"), Ok(Duration::from_secs(90)));
    for bad in [
        "",
        "10",
        "soon",
        "0s",
        "-5s",
        "5 parsecs",
        "999999999999999999999s",
    ] {
        let error = read(bad).unwrap_err();
        assert!(error.contains("write it like"), "{bad}: {error}");
    }
}

#[test]
fn a_span_is_shown_as_it_is_written() {
    assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m 30s");
}
