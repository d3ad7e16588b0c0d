//! Tests of `failure.rs`.

use super::*;
use proptest::prelude::*;

#[derive(Debug)]
struct Rude;
impl fmt::Display for Rude {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("not telling")
    }
}
impl Error for Rude {}

fn read_config() -> Result<(), HandlerError> {
    std::fs::read("/does/not/exist").map(drop)?;
    Ok(())
}

#[test]
fn the_question_mark_works_and_keeps_the_type() {
    let failure = Failure::from_error(&read_config().unwrap_err(), &Redactor::NONE);
    assert_eq!(failure.error_type, "std::io::error::Error");
    assert!(failure.message.contains("No such file"), "{failure:?}");
}

#[test]
fn strings_are_errors_too() {
    let error: HandlerError = "too dark".into();
    assert_eq!(
        Failure::from_error(&error, &Redactor::NONE).message,
        "too dark"
    );
}

#[test]
fn an_error_whose_display_panics_is_described_all_the_same() {
    let failure = Failure::from_error(&HandlerError::from(Rude), &Redactor::NONE);
    assert!(failure.message.contains("Display panicked"));
    assert!(failure.error_type.ends_with("Rude"));
}

proptest! {
    #[test]
    fn what_is_stored_fits_and_keeps_the_last_line(
        text in "[a-z\u{0}\u{1F600}é\n]{0,400}", last in "[a-z]{1,20}",
    ) {
        let text = format!("{text}\n{last}");
        let stored = storable(&text, 200);
        prop_assert!(stored.chars().count() <= 200);
        prop_assert!(!stored.contains('\0'));
        let last_line = format!("\n{last}");
        prop_assert!(stored.ends_with(&last_line));
    }
}
