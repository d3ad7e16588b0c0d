//! Tests of `following.rs`.

use executor_core::RowId;

use super::*;

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn before(seconds: i64) -> Option<Timestamp> {
    Some(at(seconds).saturating_sub(Duration::from_micros(1)))
}

struct Case {
    following: Following,
    session: SessionId,
    job: Arc<Entity>,
}

impl Case {
    fn new() -> Self {
        Self {
            following: Following::default(),
            session: SessionId::new(at(0)),
            job: Arc::new(Entity::job("house", 0, "backup")),
        }
    }

    /// Tells the store, and returns what it was told: up to when all have begun, and after when some wait.
    fn tell(&mut self) -> Vec<(Option<Timestamp>, Option<Timestamp>)> {
        let untold = self.following.untold(self.session);
        self.following.told(&untold);
        let told = untold.iter();
        told.map(|it| (it.begun_until, it.waits_after)).collect()
    }
}

#[test]
fn f07_the_store_is_told_of_what_waits_once() {
    let mut case = Case::new();
    let job = Arc::clone(&case.job);
    case.following.waits(&job, at(20));
    assert_eq!(case.tell(), [], "nobody is in charge yet");
    case.following
        .took(&job, RegistrationId::job(RowId::new(1)));
    assert_eq!(case.tell(), [(None, before(20))]);
    case.following.waits(&job, at(30));
    assert_eq!(case.tell(), [], "the first is told already");
    case.following.ended(&job, at(20));
    assert_eq!(case.tell(), [(None, before(30))]);
    case.following.ended(&job, at(30));
    assert_eq!(case.tell(), [(None, None)], "it vouches for all again");
    assert_eq!(case.tell(), []);
}

#[test]
fn f07_a_store_that_has_not_answered_is_told_again() {
    let mut case = Case::new();
    let job = Arc::clone(&case.job);
    case.following
        .took(&job, RegistrationId::job(RowId::new(1)));
    case.following.waits(&job, at(20));
    // It may have written this, or not.
    assert_eq!(case.following.untold(case.session).len(), 1);
    case.following.ended(&job, at(20));
    assert_eq!(
        case.tell(),
        [(None, None)],
        "as before, but nobody knows that"
    );
    assert_eq!(case.tell(), []);
}

#[test]
fn f07_the_store_is_told_of_the_latest_run_that_is_not_recorded() {
    let mut case = Case::new();
    let job = Arc::clone(&case.job);
    case.following.ran_unrecorded(&job, at(30));
    case.following
        .took(&job, RegistrationId::job(RowId::new(1)));
    case.following.ran_unrecorded(&job, at(20));
    assert_eq!(case.tell(), [(Some(at(30)), None)]);
    assert_eq!(case.tell(), []);
    case.following.removed(&job);
    case.following.ran_unrecorded(&job, at(40));
    assert_eq!(case.tell(), [], "nobody is in charge any more");
}

#[test]
fn f07_what_has_begun_covers_nothing_that_waits() {
    let mut case = Case::new();
    let job = Arc::clone(&case.job);
    case.following
        .took(&job, RegistrationId::job(RowId::new(1)));
    // It makes up for an earlier one, while a later one runs.
    case.following.waits(&job, at(20));
    case.following.ran_unrecorded(&job, at(90));
    assert_eq!(case.tell(), [(before(20), before(20))]);
    case.following.ended(&job, at(20));
    assert_eq!(case.tell(), [(Some(at(90)), None)]);
}
