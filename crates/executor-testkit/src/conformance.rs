//! The conformance suite for stores. Every store must pass it, whatever its backend:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! executor_testkit::conformance::all(async || executor_testkit::MemoryStore::new()).await;
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    Apply, Batch, Fate, Gap, PruneRule, PruneSlice, Reconcile, Reconciled, Registered, Session,
    SessionEnd, SessionStatus, Store,
};
use executor_core::{
    DropReason, ErrorClass, ExecutionRecord, Ledger, RegistrationId, RowId, SourceTier, Status,
    Timestamp,
};

use crate::samples;

mod reading;

pub use reading::reading;

/// Runs every check, each on a fresh store.
///
/// # Panics
///
/// The store breaks a promise; the first failure ends the suite.
///
/// # Cancel safety
///
/// Dropping the future stops the suite.
pub async fn all<S: Store>(fresh: impl AsyncFn() -> S) {
    a_batch_is_stored_and_every_record_has_its_fate(&fresh().await).await;
    storing_twice_changes_nothing(&fresh().await).await;
    a_record_without_a_row_id_is_matched_by_its_key(&fresh().await).await;
    a_dangling_record_is_detached_and_costs_no_other(&fresh().await).await;
    registering_again_keeps_the_id(&fresh().await).await;
    an_unknown_id_is_reported(&fresh().await).await;
    reconciling_deletes_what_has_no_history_and_retires_what_has(&fresh().await).await;
    reconciling_twice_changes_nothing_the_second_time(&fresh().await).await;
    a_removal_keeps_its_first_time_and_ends_with_a_new_registration(&fresh().await).await;
    reconciling_leaves_other_apps_and_the_framework_alone(&fresh().await).await;
    reconciling_leaves_a_once_listener_that_has_run_in_the_session(&fresh().await).await;
    reconciling_spares_what_another_living_session_has(&fresh().await).await;
    what_was_retired_before_its_session_told_is_live(&fresh().await).await;
    a_batch_of_nothing_is_stored(&fresh().await).await;
    the_session_of_a_batch_is_there_afterwards(&fresh().await).await;
    a_session_that_is_not_there_cannot_be_closed(&fresh().await).await;
    gaps_are_of_a_known_session_and_may_be_written_again(&fresh().await).await;
    pruning_takes_the_oldest_first_and_no_more_than_a_slice(&fresh().await).await;
    pruning_keeps_what_failed_and_what_is_newest(&fresh().await).await;
    closing_the_session_twice_is_fine(&fresh().await).await;
    a_sessions_records_are_counted_and_those_that_its_ledger_tells_of(&fresh().await).await;
    lifetimes_are_told_in_the_order_of_their_beginnings(&fresh().await).await;
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

pub(crate) async fn registered<S: Store>(store: &S, name: &str) -> RowId {
    let id = store.register(samples::listener(name)).await;
    id.expect("a healthy store takes a registration")
}

async fn a_batch_is_stored_and_every_record_has_its_fate<S: Store>(store: &S) {
    let id = registered(store, "hall").await;
    let job = samples::job("nightly");
    let job_id = store.register(job.clone()).await.expect("registers");
    let listener = samples::listener("hall");
    let mut records: Vec<_> = (0..100)
        .map(|at| samples::record(&listener, Some(id), at))
        .collect();
    records.push(samples::record(&job, Some(job_id), 100));
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
        samples::record(&samples::listener("gone"), Some(RowId::new(999)), 1),
        samples::record(&samples::job("never"), None, 2),
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
    let known = store.mark_cancelled(RegistrationId::listener(id), at).await;
    assert!(known.expect("answers"));
    let unknown = RegistrationId::listener(RowId::new(999));
    assert!(!store.mark_cancelled(unknown, at).await.expect("answers"));
}

/// Registers a stale listener that has history, a stale one without, and a live one.
async fn stale<S: Store>(store: &S) -> (RowId, RowId, Reconcile) {
    let used = registered(store, "used").await;
    let unused = registered(store, "unused").await;
    let live = registered(store, "live").await;
    let record = samples::record(&samples::listener("used"), Some(used), 0);
    persist(store, &samples::session(), vec![record]).await;
    let wanted = Reconcile {
        app_key: "lights".into(),
        live: vec![RegistrationId::listener(live)],
        session: None,
        at: Timestamp::from_micros(1),
        apply: Apply::Now,
    };
    (used, unused, wanted)
}

async fn reconciling_deletes_what_has_no_history_and_retires_what_has<S: Store>(store: &S) {
    let (used, unused, wanted) = stale(store).await;
    let expected = Reconciled {
        deleted: vec![RegistrationId::listener(unused)],
        retired: vec![RegistrationId::listener(used)],
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

async fn a_removal_keeps_its_first_time_and_ends_with_a_new_registration<S: Store>(store: &S) {
    let job = samples::job("nightly");
    let id = store.register(job.clone()).await.expect("registers");
    let id = RegistrationId::job(id);
    for at in [1, 2] {
        let marked = store.mark_cancelled(id, Timestamp::from_micros(at)).await;
        assert!(marked.expect("answers"), "it is there, removed or not");
    }
    let again = store.register(job).await.expect("registers again");
    assert_eq!(RegistrationId::job(again), id);
}

async fn reconciling_leaves_other_apps_and_the_framework_alone<S: Store>(store: &S) {
    let (_, _, wanted) = stale(store).await;
    let mut framework = samples::listener("framework");
    framework.details.source_tier = SourceTier::Framework;
    store.register(framework).await.expect("registers");
    let job = store.register(samples::job("nightly")).await;
    let job = RegistrationId::job(job.expect("registers"));
    let of_another = Reconcile {
        app_key: "heating".into(),
        ..wanted.clone()
    };
    let nothing = store.reconcile(of_another).await.expect("answers");
    assert_eq!(nothing, Reconciled::default());
    let done = store.reconcile(wanted).await.expect("answers");
    assert_eq!((done.deleted.len(), done.retired.len()), (2, 1));
    assert!(done.deleted.contains(&job));
}

async fn reconciling_leaves_a_once_listener_that_has_run_in_the_session<S: Store>(store: &S) {
    let mut once = samples::listener("once");
    once.details.once = true;
    let id = store.register(once.clone()).await;
    let id = id.expect("registers");
    let (this, another) = (samples::session(), samples::session());
    persist(store, &this, vec![samples::record(&once, Some(id), 0)]).await;
    let wanted = |session| Reconcile {
        app_key: "lights".into(),
        live: Vec::new(),
        session,
        at: Timestamp::from_micros(1),
        apply: Apply::Now,
    };
    for session in [None, Some(this.id)] {
        let done = store.reconcile(wanted(session)).await.expect("answers");
        assert_eq!(done, Reconciled::default());
    }
    let done = store.reconcile(wanted(Some(another.id))).await;
    let retired = done.expect("answers").retired;
    assert_eq!(retired, [RegistrationId::listener(id)]);
}

async fn reconciling_spares_what_another_living_session_has<S: Store>(store: &S) {
    let (used, unused, wanted) = stale(store).await;
    let (this, other) = (samples::session(), samples::session());
    for session in [&this, &other] {
        let opened = store.open_session(Arc::clone(session)).await;
        opened.expect("opens");
    }
    let theirs = Registered {
        id: RegistrationId::listener(unused),
        session: other.id,
        at: other.started_at,
        plan: None,
    };
    let ours = Registered {
        id: RegistrationId::listener(used),
        session: this.id,
        ..theirs.clone()
    };
    let taken = store.take_charge(vec![theirs, ours]).await;
    taken.expect("takes charge");
    let wanted = Reconcile {
        session: Some(this.id),
        ..wanted
    };
    let done = store.reconcile(wanted.clone()).await.expect("answers");
    assert_eq!(done.deleted, [], "the other session has it");
    assert_eq!(done.retired, [RegistrationId::listener(used)]);
    let closed = store.close_session(other.id, end(&other)).await;
    closed.expect("closes");
    let done = store.reconcile(wanted).await.expect("answers");
    assert_eq!(done.deleted, [RegistrationId::listener(unused)]);
}

async fn what_was_retired_before_its_session_told_is_live<S: Store>(store: &S) {
    let (used, _, wanted) = stale(store).await;
    let other = samples::session();
    let opened = store.open_session(Arc::clone(&other)).await;
    opened.expect("opens");
    let retired = [RegistrationId::listener(used)];
    let done = store.reconcile(wanted.clone()).await.expect("answers");
    assert_eq!(done.retired, retired);
    let theirs = Registered {
        id: retired[0],
        session: other.id,
        at: other.started_at,
        plan: None,
    };
    let taken = store.take_charge(vec![theirs]).await;
    taken.expect("takes charge");
    let closed = store.close_session(other.id, end(&other)).await;
    closed.expect("closes");
    let done = store.reconcile(wanted).await.expect("answers");
    assert_eq!(done.retired, retired, "it was live again");
}

async fn a_batch_of_nothing_is_stored<S: Store>(store: &S) {
    assert_eq!(persist(store, &samples::session(), Vec::new()).await, []);
}

fn end(session: &Session) -> SessionEnd {
    SessionEnd {
        at: session.started_at,
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger::default(),
    }
}

async fn the_session_of_a_batch_is_there_afterwards<S: Store>(store: &S) {
    let session = samples::session();
    let record = samples::record(&samples::listener("hall"), None, 0);
    persist(store, &session, vec![record]).await;
    let closed = store.close_session(session.id, end(&session)).await;
    closed.expect("the batch brought its session along");
}

async fn a_session_that_is_not_there_cannot_be_closed<S: Store>(store: &S) {
    let unknown = samples::session();
    let beat = store.heartbeat(unknown.id, unknown.started_at, Ledger::default());
    beat.await.expect("a heartbeat of nobody's is nothing");
    let closed = store.close_session(unknown.id, end(&unknown)).await;
    let error = closed.expect_err("there is no such session");
    assert_eq!(error.class, ErrorClass::Dangling);
}

async fn gaps_are_of_a_known_session_and_may_be_written_again<S: Store>(store: &S) {
    let (known, unknown) = (samples::session(), samples::session());
    store.open_session(Arc::clone(&known)).await.expect("opens");
    let gap = |session: &Session| Gap {
        session: session.id,
        reason: DropReason::Overflow.into(),
        count: 3,
        first_at: Timestamp::from_micros(1),
        last_at: Timestamp::from_micros(2),
        entities: Vec::new(),
    };
    for _ in 0..2 {
        let written = store.record_gaps(vec![gap(&known)]).await;
        written.expect("takes a gap");
    }
    let both = store.record_gaps(vec![gap(&known), gap(&unknown)]).await;
    assert_eq!(both.expect_err("all or none").class, ErrorClass::Dangling);
    store.record_gaps(Vec::new()).await.expect("takes nothing");
}

/// Registers a listener; its executions are a second apart.
async fn ten_of_hall<S: Store>(store: &S) -> Vec<ExecutionRecord> {
    let id = registered(store, "hall").await;
    let listener = samples::listener("hall");
    (0..10)
        .map(|at| samples::record(&listener, Some(id), at * 1_000))
        .collect()
}

async fn pruning_keeps_what_failed_and_what_is_newest<S: Store>(store: &S) {
    let mut records = ten_of_hall(store).await;
    for record in records.iter_mut().step_by(2) {
        record.status = Status::Cancelled;
    }
    persist(store, &samples::session(), records.clone()).await;
    let prune = async |rule| {
        let slice = PruneSlice::new(rule, 100);
        store.prune(slice).await.expect("answers")
    };
    let well = PruneRule::WentWellBefore(records[6].ended_at());
    assert_eq!((prune(well).await, prune(well).await), (3, 0));
    let newest = PruneRule::AllButNewest(4);
    assert_eq!((prune(newest).await, prune(newest).await), (3, 0));
    let fates = persist(store, &samples::session(), records).await;
    let left: Vec<usize> = (0..10)
        .filter(|place| fates[*place] == Fate::AlreadyThere)
        .collect();
    assert_eq!(left, [6, 7, 8, 9]);
}

async fn pruning_takes_the_oldest_first_and_no_more_than_a_slice<S: Store>(store: &S) {
    let session = samples::session();
    let records = ten_of_hall(store).await;
    persist(store, &session, records.clone()).await;
    let slice = PruneSlice::new(PruneRule::EndedBefore(records[5].ended_at()), 3);
    assert_eq!(store.prune(slice).await.expect("answers"), 3);
    assert_eq!(store.prune(slice).await.expect("answers"), 2);
    assert_eq!(store.prune(slice).await.expect("answers"), 0);
    // Pruned rows are new again; the others are still there.
    let fates = persist(store, &session, records).await;
    let is_all = |fates: &[Fate], one: Fate| fates.iter().all(|fate| *fate == one);
    assert!(is_all(&fates[..5], Fate::Stored), "{fates:?}");
    assert!(is_all(&fates[5..], Fate::AlreadyThere), "{fates:?}");
}

async fn closing_the_session_twice_is_fine<S: Store>(store: &S) {
    let session = samples::session();
    for _ in 0..2 {
        let opened = store.open_session(Arc::clone(&session)).await;
        opened.expect("opens, and opens again");
    }
    let end = end(&session);
    let beat = store.heartbeat(session.id, session.started_at, end.ledger);
    beat.await.expect("takes a heartbeat");
    for _ in 0..2 {
        let closed = store.close_session(session.id, end.clone()).await;
        closed.expect("closes, and closes again");
    }
    assert_eq!(store.mark_crashed().await.expect("answers"), []);
}

async fn a_sessions_records_are_counted_and_those_that_its_ledger_tells_of<S: Store>(store: &S) {
    let (session, other) = (samples::session(), samples::session());
    let count = async || store.stored_count(session.id).await.expect("answers");
    assert_eq!(count().await, 0, "a session that is not there has none");
    let listener = samples::listener("hall");
    let records: Vec<_> = (0..5)
        .map(|at| samples::record(&listener, None, at))
        .collect();
    persist(store, &session, records[..3].to_vec()).await;
    persist(store, &session, records[..3].to_vec()).await;
    persist(store, &other, records[3..].to_vec()).await;
    assert_eq!(count().await, 3);
    for (stored, recovered, expected) in [(10, 4, 6), (5, 3, 3), (1, 2, 3)] {
        let ledger = Ledger {
            stored,
            recovered,
            ..Ledger::default()
        };
        let beat = store.heartbeat(session.id, session.started_at, ledger);
        beat.await.expect("takes a heartbeat");
        assert_eq!(
            count().await,
            expected,
            "{stored} stored, {recovered} taken over"
        );
    }
}

async fn lifetimes_are_told_in_the_order_of_their_beginnings<S: Store>(store: &S) {
    let sessions = [0, 1, 2].map(|_| samples::session());
    for session in &sessions {
        let opened = store.open_session(Arc::clone(session)).await;
        opened.expect("opens");
    }
    let later = |session: &Session| session.started_at.saturating_add(Duration::from_secs(60));
    let beat = later(&sessions[1]);
    let beaten = store.heartbeat(sessions[1].id, beat, Ledger::default());
    beaten.await.expect("takes a heartbeat");
    let ended = SessionEnd {
        at: later(&sessions[2]).saturating_add(Duration::from_secs(60)),
        ..end(&sessions[2])
    };
    let closed = store.close_session(sessions[2].id, ended.clone()).await;
    closed.expect("closes");
    let told = store.lifetimes(2).await.expect("answers");
    let named: Vec<_> = told
        .iter()
        .map(|it| (it.session, it.last_sign_at))
        .collect();
    let expected = [(sessions[1].id, beat), (sessions[2].id, ended.at)];
    assert_eq!(named, expected, "the newest two");
    let all = store.lifetimes(9).await.expect("answers");
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].last_sign_at, sessions[0].started_at);
}

async fn a_closed_store_says_so<S: Store>(store: &S) {
    store.health().await.expect("healthy");
    store.close().await.expect("closes");
    store.close().await.expect("closes again");
    let error = store.health().await.expect_err("closed");
    assert_eq!(error.class, ErrorClass::Closed);
}

#[cfg(test)]
mod tests;
