//! Checks what is known of a job's schedule before the session that asks: who was in charge, and how far.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    Earlier, Followed, History, InForce, MissedReason, MissedRuns, Registered, SchedulePlan,
    Session, SessionEnd, SessionStatus, Store,
};
use executor_core::{Ledger, Registration, RegistrationId, RowId, Timestamp};

use super::planned::at;
use crate::conformance::persist;
use crate::samples;

const HOURLY: &str = "cron 0 * * * *";
const HALF_PAST: &str = "cron 30 * * * *";

pub(super) async fn what_was_in_force_before_is_known<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let succession = Succession::begin(store).await;
    the_first_finds_nothing(store, &succession).await;
    the_second_finds_the_first_alive(store, &succession).await;
    the_second_finds_what_the_first_left(store, &succession).await;
    let later = succession.registered(&samples::session(), 9_400, None);
    a_session_that_only_looks_answers_for_nothing(store, &later).await;
    let in_charge = succession.of_second();
    take_charge(store, &in_charge).await;
    let beats = store.heartbeat(in_charge.session, at(9_300), Ledger::default());
    beats.await.expect("answers");
    how_far_it_was_followed_is_known(store, &in_charge, &later).await;
    a_session_that_stops_answers_until_then(store, &in_charge, &later).await;
    a_removal_ends_what_was_in_force(store, history, &succession).await;
}

/// A job that one session registers and, at another time of the hour, a second one.
struct Succession {
    job: Registration,
    row: RowId,
    first: Arc<Session>,
    second: Arc<Session>,
}

impl Succession {
    async fn begin<S: Store>(store: &S) -> Self {
        let (first, second) = (samples::session(), samples::session());
        let job = samples::job("dim");
        let row = store.register(job.clone()).await.expect("registers");
        Self {
            job,
            row,
            first,
            second,
        }
    }

    const fn id(&self) -> RegistrationId {
        RegistrationId::job(self.row)
    }

    fn registered(&self, session: &Session, seconds: i64, text: Option<&str>) -> Registered {
        Registered {
            id: self.id(),
            session: session.id,
            at: at(seconds),
            plan: text.map(plan),
        }
    }

    fn of_second(&self) -> Registered {
        self.registered(&self.second, 9_000, Some(HALF_PAST))
    }
}

fn plan(text: &str) -> SchedulePlan {
    SchedulePlan {
        text: text.into(),
        time_zone: Some("Europe/Berlin".into()),
        jitter: Duration::from_secs(7),
        missed: "run_once".into(),
        is_persistent: true,
    }
}

async fn open<S: Store>(store: &S, session: &Arc<Session>) {
    let opened = store.open_session(Arc::clone(session)).await;
    opened.expect("opens");
}

async fn note<S: Store>(store: &S, registered: &Registered) {
    let noted = store.note_schedule(registered.clone()).await;
    noted.expect("is idempotent");
}

async fn take_charge<S: Store>(store: &S, registered: &Registered) {
    let taken = store.take_charge(vec![registered.clone()]).await;
    taken.expect("is idempotent");
}

async fn earlier<S: Store>(store: &S, registered: &Registered) -> Earlier {
    let earlier = store.earlier(registered.clone()).await;
    earlier.expect("answers")
}

async fn the_first_finds_nothing<S: Store>(store: &S, succession: &Succession) {
    let begun = succession.registered(&succession.first, 0, Some(HOURLY));
    let without_session = store.take_charge(vec![begun.clone()]).await;
    without_session.expect_err("its session is not there yet");
    open(store, &succession.first).await;
    for _ in 0..2 {
        note(store, &begun).await;
        take_charge(store, &begun).await;
    }
    let before = earlier(store, &begun).await;
    assert_eq!(before, Earlier::default(), "there was nothing before");
}

async fn the_second_finds_the_first_alive<S: Store>(store: &S, succession: &Succession) {
    let first = &succession.first;
    let mut record = samples::record(&succession.job, Some(succession.row), 0);
    record.due_at = Some(at(3_600));
    persist(store, first, vec![record]).await;
    let heartbeat = store.heartbeat(first.id, at(4_000), Ledger::default());
    heartbeat.await.expect("answers");
    open(store, &succession.second).await;
    note(store, &succession.of_second()).await;
    let expected = Earlier {
        plan: Some(plan(HOURLY)),
        until: None,
        alive_until: Some(at(4_000)),
        dealt_with: vec![(at(3_600), at(3_600))],
        elsewhere: Some(first.id),
    };
    assert_eq!(earlier(store, &succession.of_second()).await, expected);
}

async fn the_second_finds_what_the_first_left<S: Store>(store: &S, succession: &Succession) {
    let end = SessionEnd {
        at: at(4_100),
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger::default(),
    };
    let closed = store.close_session(succession.first.id, end).await;
    closed.expect("closes");
    let missed = MissedRuns {
        session: Some(succession.second.id),
        entity: Arc::clone(&succession.job.entity),
        reason: MissedReason::NoProcess,
        count: 1,
        first_due: at(7_200),
        last_due: at(7_200),
    };
    store.record_missed(vec![missed]).await.expect("records");
    let found = earlier(store, &succession.of_second()).await;
    assert_eq!(found, left_by_the_first(HOURLY));
}

/// What is known once the first session has ended; the last plan that was noted before is in force.
fn left_by_the_first(text: &str) -> Earlier {
    Earlier {
        plan: Some(plan(text)),
        until: None,
        alive_until: Some(at(4_100)),
        dealt_with: vec![(at(3_600), at(3_600)), (at(7_200), at(7_200))],
        elsewhere: None,
    }
}

/// The second session has noted its plan, and has not taken charge.
async fn a_session_that_only_looks_answers_for_nothing<S: Store>(store: &S, later: &Registered) {
    assert_eq!(earlier(store, later).await, left_by_the_first(HALF_PAST));
}

/// The second session is in charge and was alive until 9,300 seconds. Ends as it began.
async fn how_far_it_was_followed_is_known<S: Store>(
    store: &S,
    in_charge: &Registered,
    later: &Registered,
) {
    let known = async |begun_until: Option<i64>, waits_after: Option<i64>| {
        let followed = Followed {
            id: in_charge.id,
            session: in_charge.session,
            begun_until: begun_until.map(at),
            waits_after: waits_after.map(at),
        };
        let noted = store.note_followed(vec![followed]).await;
        noted.expect("notes");
        how_far(&earlier(store, later).await)
    };
    assert_eq!(known(None, Some(9_150)).await, (None, Some(at(9_150))));
    let elsewhere = earlier(store, later).await.elsewhere;
    assert_eq!(elsewhere, Some(in_charge.session), "it is still in charge");
    // Taking charge once more changes nothing of that.
    take_charge(store, in_charge).await;
    assert_eq!(known(None, Some(8_000)).await, (None, Some(at(8_000))));
    assert_eq!(
        known(Some(9_250), None).await,
        (Some(at(9_250)), Some(at(9_300)))
    );
    // It said so while its clock was wrong.
    assert_eq!(known(Some(99_000), None).await, (None, Some(at(9_300))));
    assert_eq!(
        known(Some(9_100), Some(9_150)).await,
        (Some(at(9_100)), Some(at(9_150)))
    );
}

/// Returns until when runs were begun from the first on, and until when somebody was there to begin them.
fn how_far(earlier: &Earlier) -> (Option<Timestamp>, Option<Timestamp>) {
    let from_the_first = Timestamp::from_micros(i64::MIN);
    let mut begun = earlier.dealt_with.iter();
    let begun = begun.find(|(first, _)| *first == from_the_first);
    (begun.map(|(_, until)| *until), earlier.alive_until)
}

async fn a_session_that_stops_answers_until_then<S: Store>(
    store: &S,
    in_charge: &Registered,
    later: &Registered,
) {
    for until in [9_200, 9_250] {
        let left = store.leave_charge(in_charge.session, at(until)).await;
        left.expect("notes");
    }
    let found = earlier(store, later).await;
    assert_eq!(found.alive_until, Some(at(9_150)), "a run waits");
    assert_eq!(found.elsewhere, None, "it lives on only to end");
}

async fn a_removal_ends_what_was_in_force<S: Store, H: History>(
    store: &S,
    history: &H,
    succession: &Succession,
) {
    let removed = store.mark_cancelled(succession.id(), at(9_500));
    removed.await.expect("answers");
    let third = samples::session();
    open(store, &third).await;
    let anew = succession.registered(&third, 10_000, None);
    note(store, &anew).await;
    take_charge(store, &anew).await;
    let found = earlier(store, &anew).await;
    assert_eq!(found.plan, Some(plan(HALF_PAST)));
    assert_eq!(found.until, Some(at(9_500)));
    let elsewhere = found.elsewhere;
    assert_eq!(elsewhere, None, "the second one runs, but without it");
    let in_force = |text, from, until| InForce {
        plan: plan(text),
        from: at(from),
        until: Some(at(until)),
    };
    let expected = [
        in_force(HALF_PAST, 9_000, 9_500),
        in_force(HOURLY, 0, 9_000),
    ];
    let known = history.schedules(succession.id()).await;
    assert_eq!(known.expect("answers"), expected);
}
