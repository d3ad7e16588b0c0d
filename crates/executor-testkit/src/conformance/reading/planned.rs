//! Checks what is read back of schedules: missed runs, pauses, and what was in force before.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    Earlier, Followed, History, InForce, MissedReason, MissedRuns, PageRequest, Pause, Registered,
    SchedulePlan, Session, SessionEnd, SessionStatus, Store, Window,
};
use executor_core::{Entity, Ledger, RegistrationId, Timestamp};

use super::super::{persist, samples};

/// 2026-01-01T00:00:00Z and so many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000)
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

pub(super) async fn missed_runs_and_pauses_are_read_back<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let session = samples::session();
    store
        .open_session(Arc::clone(&session))
        .await
        .expect("opens");
    let backup = Arc::new(Entity::job("house", 2, "backup"));
    let missed = |reason, count, first, last| MissedRuns {
        session: Some(session.id),
        entity: Arc::clone(&backup),
        reason,
        count,
        first_due: at(first),
        last_due: at(last),
    };
    let mut all: Vec<_> = (0_i64..)
        .zip(MissedReason::ALL)
        .map(|(number, reason)| missed(reason, 1, number * 100, number * 100))
        .collect();
    for _ in 0..2 {
        let recorded = store.record_missed(all.clone()).await;
        recorded.expect("is idempotent");
    }
    // An episode that goes on replaces its beginning.
    all[0] = missed(MissedReason::NoProcess, 3, 0, 50);
    store
        .record_missed(all[..1].to_vec())
        .await
        .expect("records");
    let page = PageRequest::default;
    let found = history.missed_runs(Window::default(), page()).await;
    all.reverse();
    assert_eq!(found.expect("answers").items, all);
    let window = Window {
        to: Some(at(100)),
        ..Window::since(at(50))
    };
    let found = history.missed_runs(window.clone(), page()).await;
    assert_eq!(
        found.expect("answers").items,
        all[5..],
        "its end is in the window"
    );

    let pause = |entity: Option<&Arc<Entity>>, from, until: Option<i64>| Pause {
        session: session.id,
        entity: entity.cloned(),
        from: at(from),
        until: until.map(at),
    };
    let begun = vec![pause(None, 0, None), pause(Some(&backup), 0, Some(20))];
    store.record_pauses(begun).await.expect("records");
    let ended = pause(None, 0, Some(60));
    store
        .record_pauses(vec![ended.clone()])
        .await
        .expect("records");
    let found = history.pauses(Window::default(), page()).await;
    let expected = [pause(Some(&backup), 0, Some(20)), ended.clone()];
    assert_eq!(found.expect("answers").items, expected);
    let found = history.pauses(window, page()).await;
    assert_eq!(found.expect("answers").items, [ended]);
}

async fn register<S: Store>(store: &S, registered: &Registered) {
    let noted = store.note_schedule(registered.clone()).await;
    noted.expect("is idempotent");
    let taken = store.take_charge(vec![registered.clone()]).await;
    taken.expect("is idempotent");
}

/// Its second session is in charge and was alive until 9,300. Ends as it began.
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
        let earlier = store.earlier(later.clone()).await.expect("answers");
        let from_the_first = Timestamp::from_micros(i64::MIN);
        let mut begun = earlier.dealt_with.iter();
        let begun = begun.find(|(first, _)| *first == from_the_first);
        (begun.map(|(_, until)| *until), earlier.alive_until)
    };
    assert_eq!(known(None, Some(9_150)).await, (None, Some(at(9_150))));
    let elsewhere = store.earlier(later.clone()).await.expect("answers");
    let elsewhere = elsewhere.elsewhere;
    assert_eq!(elsewhere, Some(in_charge.session), "it is still in charge");
    // Taking charge once more changes nothing of that.
    let taken = store.take_charge(vec![in_charge.clone()]).await;
    taken.expect("is idempotent");
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

pub(super) async fn what_was_in_force_before_is_known<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let (first, second) = (samples::session(), samples::session());
    let job = samples::job("dim");
    let row = store.register(job.clone()).await.expect("registers");
    let registered = |session: &Session, at, plan| Registered {
        id: RegistrationId::job(row),
        session: session.id,
        at,
        plan,
    };
    let begun = registered(&first, at(0), Some(plan("cron 0 * * * *")));
    let without_session = store.take_charge(vec![begun.clone()]).await;
    without_session.expect_err("its session is not there yet");
    store.open_session(Arc::clone(&first)).await.expect("opens");
    for _ in 0..2 {
        register(store, &begun).await;
    }
    let earlier = store.earlier(begun).await.expect("answers");
    assert_eq!(earlier, Earlier::default(), "there was nothing before");

    let mut record = samples::record(&job, Some(row), 0);
    record.due_at = Some(at(3_600));
    persist(store, &first, vec![record]).await;
    let heartbeat = store.heartbeat(first.id, at(4_000), Ledger::default());
    heartbeat.await.expect("answers");
    store
        .open_session(Arc::clone(&second))
        .await
        .expect("opens");
    let again = registered(&second, at(9_000), Some(plan("cron 30 * * * *")));
    let noted = store.note_schedule(again.clone()).await;
    noted.expect("notes");
    let expected = Earlier {
        plan: Some(plan("cron 0 * * * *")),
        until: None,
        alive_until: Some(at(4_000)),
        dealt_with: vec![(at(3_600), at(3_600))],
        elsewhere: Some(first.id),
    };
    let earlier = store.earlier(again.clone()).await.expect("answers");
    assert_eq!(earlier, expected);

    let end = SessionEnd {
        at: at(4_100),
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger::default(),
    };
    store.close_session(first.id, end).await.expect("closes");
    let missed = MissedRuns {
        session: Some(second.id),
        entity: Arc::clone(&job.entity),
        reason: MissedReason::NoProcess,
        count: 1,
        first_due: at(7_200),
        last_due: at(7_200),
    };
    store.record_missed(vec![missed]).await.expect("records");
    let expected = Earlier {
        alive_until: Some(at(4_100)),
        dealt_with: vec![(at(3_600), at(3_600)), (at(7_200), at(7_200))],
        elsewhere: None,
        ..expected
    };
    assert_eq!(
        store.earlier(again.clone()).await.expect("answers"),
        expected
    );

    // A session that never looked back answers for nothing, one that stops only until it does.
    let later = registered(&samples::session(), at(9_400), None);
    assert_eq!(
        store.earlier(later.clone()).await.expect("answers"),
        Earlier {
            plan: Some(plan("cron 30 * * * *")),
            ..expected.clone()
        }
    );
    let taken = store.take_charge(vec![again.clone()]).await;
    taken.expect("notes");
    let beats = store.heartbeat(second.id, at(9_300), Ledger::default());
    beats.await.expect("answers");
    how_far_it_was_followed_is_known(store, &again, &later).await;
    for until in [9_200, 9_250] {
        let left = store.leave_charge(second.id, at(until)).await;
        left.expect("notes");
    }
    let earlier = store.earlier(later).await.expect("answers");
    assert_eq!(earlier.alive_until, Some(at(9_150)), "a run waits");
    assert_eq!(earlier.elsewhere, None, "it lives on only to end");

    // A removal ends it.
    let removed = store.mark_cancelled(RegistrationId::job(row), at(9_500));
    removed.await.expect("answers");
    let third = samples::session();
    store.open_session(Arc::clone(&third)).await.expect("opens");
    let anew = registered(&third, at(10_000), None);
    register(store, &anew).await;
    let earlier = store.earlier(anew).await.expect("answers");
    assert_eq!(earlier.plan, Some(plan("cron 30 * * * *")));
    assert_eq!(earlier.until, Some(at(9_500)));
    assert_eq!(
        earlier.elsewhere, None,
        "the second one runs, but without it"
    );
    let in_force = |text, from, until| InForce {
        plan: plan(text),
        from: at(from),
        until: Some(at(until)),
    };
    let expected = [
        in_force("cron 30 * * * *", 9_000, 9_500),
        in_force("cron 0 * * * *", 0, 9_000),
    ];
    let known = history.schedules(RegistrationId::job(row)).await;
    assert_eq!(known.expect("answers"), expected);
}

/// However many other executions came after it, a planned run that the history has was not missed.
pub(super) async fn a_run_behind_many_others_counts<S: Store>(store: &S) {
    let (session, job) = (samples::session(), samples::job("dim"));
    let row = store.register(job.clone()).await.expect("registers");
    let mut planned = samples::record(&job, Some(row), 0);
    planned.due_at = Some(at(0));
    let by_hand = (1..=1_100).map(|place| samples::record(&job, Some(row), place * 10));
    let mut records: Vec<_> = by_hand.collect();
    // One that was planned later must not make the others seem to be all.
    records[1_000].due_at = Some(at(5_000));
    persist(store, &session, vec![planned]).await;
    persist(store, &session, records).await;
    let registered = Registered {
        id: RegistrationId::job(row),
        session: session.id,
        at: at(4_000),
        plan: None,
    };
    let earlier = store.earlier(registered).await.expect("answers");
    let mut ranges = earlier.dealt_with.iter();
    let covers = ranges.any(|(first, last)| (*first..=*last).contains(&at(0)));
    assert!(covers, "{:?}", earlier.dealt_with);
}
