//! Checks what is read back of schedules: missed runs, pauses, and planned runs that took place.

use std::sync::Arc;

use executor_core::ports::{
    History, MissedReason, MissedRuns, PageRequest, Pause, Registered, Session, Store, Window,
};
use executor_core::{Entity, RegistrationId, Timestamp};

use super::super::{persist, samples};

/// 2026-01-01T00:00:00Z and so many seconds.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000)
}

pub(super) async fn missed_runs_and_pauses_are_read_back<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let session = samples::session();
    let opened = store.open_session(Arc::clone(&session)).await;
    opened.expect("opens");
    missed_runs_are_read_back(store, history, &session).await;
    pauses_are_read_back(store, history, &session).await;
}

/// From 50 until 100 seconds.
fn window() -> Window {
    Window {
        to: Some(at(100)),
        ..Window::since(at(50))
    }
}

fn backup() -> Arc<Entity> {
    Arc::new(Entity::job("house", 2, "backup"))
}

async fn missed_runs_are_read_back<S: Store, H: History>(
    store: &S,
    history: &H,
    session: &Session,
) {
    let missed = |reason, count, first, last| MissedRuns {
        session: Some(session.id),
        entity: backup(),
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
    let recorded = store.record_missed(all[..1].to_vec()).await;
    recorded.expect("records");
    all.reverse();
    let found = async |window| {
        let page = history.missed_runs(window, PageRequest::default()).await;
        page.expect("answers").items
    };
    assert_eq!(found(Window::default()).await, all);
    assert_eq!(found(window()).await, all[5..], "its end is in the window");
}

async fn pauses_are_read_back<S: Store, H: History>(store: &S, history: &H, session: &Session) {
    let pause = |entity: Option<Arc<Entity>>, from, until: Option<i64>| Pause {
        session: session.id,
        entity,
        from: at(from),
        until: until.map(at),
    };
    let of_backup = pause(Some(backup()), 0, Some(20));
    let begun = vec![pause(None, 0, None), of_backup.clone()];
    store.record_pauses(begun).await.expect("records");
    let ended = pause(None, 0, Some(60));
    let recorded = store.record_pauses(vec![ended.clone()]).await;
    recorded.expect("records");
    let found = async |window| {
        let page = history.pauses(window, PageRequest::default()).await;
        page.expect("answers").items
    };
    assert_eq!(found(Window::default()).await, [of_backup, ended.clone()]);
    assert_eq!(found(window()).await, [ended]);
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
