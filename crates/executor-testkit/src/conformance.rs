//! What every store must do, whatever it is made of. Whoever writes one runs this suite on it:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! executor_testkit::conformance::all(async || executor_testkit::MemoryStore::new()).await;
//! # }
//! ```

use std::sync::Arc;

use executor_core::ports::{
    Apply, Batch, Fate, PruneRule, PruneSlice, Reconcile, Reconciled, RegistrationId, Session,
    SessionEnd, SessionStatus, Store,
};
use executor_core::{ErrorClass, ExecutionRecord, Ledger, ListenerId, Timestamp};

use crate::samples;

/// Runs every check, each on a fresh store.
///
/// # Panics
///
/// At the first promise that the store does not keep.
///
/// # Cancel safety
///
/// Dropping the future ends the suite where it is.
pub async fn all<S: Store>(fresh: impl AsyncFn() -> S) {
    a_batch_is_stored_and_every_record_has_its_fate(&fresh().await).await;
    storing_twice_changes_nothing(&fresh().await).await;
    a_record_without_a_row_id_is_matched_by_its_key(&fresh().await).await;
    a_dangling_record_is_detached_and_costs_no_other(&fresh().await).await;
    registering_again_keeps_the_id(&fresh().await).await;
    an_unknown_id_is_reported(&fresh().await).await;
    reconciling_deletes_what_has_no_history_and_retires_what_has(&fresh().await).await;
    reconciling_twice_changes_nothing_the_second_time(&fresh().await).await;
    pruning_takes_the_oldest_first_and_no_more_than_a_slice(&fresh().await).await;
    closing_the_session_twice_is_fine(&fresh().await).await;
    a_closed_store_says_so(&fresh().await).await;
}

async fn persist<S: Store>(
    store: &S,
    session: &Arc<Session>,
    records: Vec<ExecutionRecord>,
) -> Vec<Fate> {
    let batch = Batch {
        session: Arc::clone(session),
        records,
    };
    let fates = store.persist(Arc::new(batch)).await;
    fates.expect("a healthy store takes a batch")
}

async fn registered<S: Store>(store: &S, name: &str) -> ListenerId {
    let id = store.register_listener(samples::listener(name)).await;
    id.expect("a healthy store takes a registration")
}

async fn a_batch_is_stored_and_every_record_has_its_fate<S: Store>(store: &S) {
    let id = registered(store, "hall").await;
    let job = samples::job("nightly");
    let job_id = store.register_job(job.clone()).await.expect("registers");
    let listener = samples::listener("hall");
    let mut records: Vec<_> = (0..100)
        .map(|at| samples::record(&listener, Some(id), at))
        .collect();
    records.push(samples::record_of_job(&job, Some(job_id), 100));
    let fates = persist(store, &samples::session(), records).await;
    assert_eq!(fates, vec![Fate::Stored; 101]);
}

async fn storing_twice_changes_nothing<S: Store>(store: &S) {
    let id = registered(store, "hall").await;
    let listener = samples::listener("hall");
    let session = samples::session();
    let old = samples::record(&listener, Some(id), 0);
    let new = samples::record(&listener, Some(id), 1);
    assert_eq!(
        persist(store, &session, vec![old.clone()]).await,
        [Fate::Stored]
    );
    let twice = vec![old.clone(), new.clone(), new, old];
    let fates = persist(store, &session, twice).await;
    let expected = [
        Fate::AlreadyThere,
        Fate::Stored,
        Fate::AlreadyThere,
        Fate::AlreadyThere,
    ];
    assert_eq!(fates, expected);
}

async fn a_record_without_a_row_id_is_matched_by_its_key<S: Store>(store: &S) {
    registered(store, "hall").await;
    let record = samples::record(&samples::listener("hall"), None, 0);
    let fates = persist(store, &samples::session(), vec![record]).await;
    assert_eq!(fates, [Fate::Stored]);
}

async fn a_dangling_record_is_detached_and_costs_no_other<S: Store>(store: &S) {
    let id = registered(store, "hall").await;
    let records = vec![
        samples::record(&samples::listener("hall"), Some(id), 0),
        samples::record(&samples::listener("gone"), Some(ListenerId(999)), 1),
        samples::record_of_job(&samples::job("never"), None, 2),
        samples::record(&samples::listener("hall"), Some(id), 3),
    ];
    let fates = persist(store, &samples::session(), records).await;
    let expected = [Fate::Stored, Fate::Detached, Fate::Detached, Fate::Stored];
    assert_eq!(fates, expected);
}

async fn registering_again_keeps_the_id<S: Store>(store: &S) {
    let first = registered(store, "hall").await;
    let other = registered(store, "kitchen").await;
    assert_ne!(first, other);
    assert_eq!(registered(store, "hall").await, first);
}

async fn an_unknown_id_is_reported<S: Store>(store: &S) {
    let id = registered(store, "hall").await;
    let at = Timestamp::from_micros(1);
    let known = store.mark_cancelled(RegistrationId::Listener(id), at).await;
    assert!(known.expect("answers"));
    let unknown = RegistrationId::Listener(ListenerId(999));
    assert!(!store.mark_cancelled(unknown, at).await.expect("answers"));
}

/// A store with a stale listener that has history, a stale one without, and a live one.
async fn stale<S: Store>(store: &S) -> (ListenerId, ListenerId, Reconcile) {
    let used = registered(store, "used").await;
    let unused = registered(store, "unused").await;
    let live = registered(store, "live").await;
    let record = samples::record(&samples::listener("used"), Some(used), 0);
    persist(store, &samples::session(), vec![record]).await;
    let wanted = Reconcile {
        app_key: "lights".into(),
        live_listeners: vec![live],
        live_jobs: Vec::new(),
        session: None,
        at: Timestamp::from_micros(1),
        apply: Apply::Now,
    };
    (used, unused, wanted)
}

async fn reconciling_deletes_what_has_no_history_and_retires_what_has<S: Store>(store: &S) {
    let (used, unused, wanted) = stale(store).await;
    let expected = Reconciled {
        deleted: vec![RegistrationId::Listener(unused)],
        retired: vec![RegistrationId::Listener(used)],
    };
    let dry = Reconcile {
        apply: Apply::DryRun,
        ..wanted.clone()
    };
    assert_eq!(store.reconcile(dry).await.expect("answers"), expected);
    assert_eq!(store.reconcile(wanted).await.expect("answers"), expected);
}

async fn reconciling_twice_changes_nothing_the_second_time<S: Store>(store: &S) {
    let (_, _, wanted) = stale(store).await;
    store.reconcile(wanted.clone()).await.expect("answers");
    let second = store.reconcile(wanted).await.expect("answers");
    assert_eq!(second, Reconciled::default());
}

async fn pruning_takes_the_oldest_first_and_no_more_than_a_slice<S: Store>(store: &S) {
    let id = registered(store, "hall").await;
    let listener = samples::listener("hall");
    let session = samples::session();
    let records: Vec<_> = (0..10)
        .map(|at| samples::record(&listener, Some(id), at * 1_000))
        .collect();
    persist(store, &session, records.clone()).await;
    let slice = PruneSlice {
        rule: PruneRule::EndedBefore(records[5].ended_at()),
        max_rows: 3,
    };
    assert_eq!(store.prune(slice).await.expect("answers"), 3);
    assert_eq!(store.prune(slice).await.expect("answers"), 2);
    assert_eq!(store.prune(slice).await.expect("answers"), 0);
    // What was pruned is new again; what was not stands there.
    let fates = persist(store, &session, records).await;
    assert!(
        fates[..5].iter().all(|fate| *fate == Fate::Stored),
        "{fates:?}"
    );
    assert!(
        fates[5..].iter().all(|fate| *fate == Fate::AlreadyThere),
        "{fates:?}"
    );
}

async fn closing_the_session_twice_is_fine<S: Store>(store: &S) {
    let session = samples::session();
    store
        .open_session(Arc::clone(&session))
        .await
        .expect("opens");
    store
        .open_session(Arc::clone(&session))
        .await
        .expect("opens again");
    let end = SessionEnd {
        at: session.started_at,
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger::default(),
    };
    let beat = store.heartbeat(session.id, session.started_at, end.ledger);
    beat.await.expect("takes a heartbeat");
    store
        .close_session(session.id, end.clone())
        .await
        .expect("closes");
    store
        .close_session(session.id, end)
        .await
        .expect("closes again");
    assert_eq!(store.mark_crashed().await.expect("answers"), []);
}

async fn a_closed_store_says_so<S: Store>(store: &S) {
    store.health().await.expect("healthy");
    store.close().await.expect("closes");
    store.close().await.expect("closes again");
    let error = store.health().await.expect_err("closed");
    assert_eq!(error.class, ErrorClass::Closed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_store_in_memory_conforms() {
        all(async || crate::MemoryStore::new()).await;
    }
}
