//! Clauses D1 to D3: listeners and jobs.

use std::time::Duration;

use executor_core::ports::{Apply, Reconcile, Reconciled, RegistrationId, RegistrationStore};
use executor_core::registration::Overlap;
use executor_core::{JobId, ListenerId, SourceTier, Timestamp};
use executor_testkit as kit;

use crate::support::{Database, persist};

fn wanted(live: &[ListenerId]) -> Reconcile {
    Reconcile {
        app_key: "lights".into(),
        live_listeners: live.to_vec(),
        live_jobs: Vec::new(),
        session: None,
        at: Timestamp::from_micros(77),
        apply: Apply::Now,
    }
}

#[tokio::test]
async fn d01_registering_again_keeps_the_id_and_updates_every_column() {
    let database = Database::new();
    let store = database.open().await;
    let mut listener = kit::listener("hall");
    listener.details.description = Some("old".into());
    listener.details.entity = Some("lamp".into());
    let id = store.register_listener(listener.clone()).await.unwrap();
    let used = kit::record(&listener, Some(id), 0);
    persist(&store, &kit::session(), vec![used]).await.unwrap();
    store.reconcile(wanted(&[])).await.unwrap();
    store
        .mark_cancelled(RegistrationId::Listener(id), Timestamp::from_micros(5))
        .await
        .unwrap();
    let marks = "SELECT count(*) FROM listeners WHERE retired_us = 77 AND removed_us = 5";
    assert_eq!(database.number(marks), 1);

    listener.details.description = Some("new".into());
    listener.details.entity = None;
    listener.details.timeout = Some(Duration::from_millis(3));
    listener.details.source_tier = SourceTier::Framework;
    listener.details.overlap = Some(Overlap::Queued);
    listener.details.priority = -4;
    listener.details.once = true;
    assert_eq!(store.register_listener(listener).await.unwrap(), id);
    let row = "SELECT concat_ws('|', description, coalesce(entity, '-'), timeout_us, source_tier, \
               overlap, priority, once, coalesce(retired_us, '-'), coalesce(removed_us, '-')) \
               FROM listeners";
    assert_eq!(database.text(row), "new|-|3000|framework|queued|-4|1|-|-");
}

#[tokio::test]
async fn d02_reconciling_touches_only_what_is_stale_of_this_app() {
    let database = Database::new();
    let store = database.open().await;
    let live = store
        .register_listener(kit::listener("live"))
        .await
        .unwrap();
    let stale = store
        .register_listener(kit::listener("stale"))
        .await
        .unwrap();
    let mut framework = kit::listener("framework");
    framework.details.source_tier = SourceTier::Framework;
    store.register_listener(framework).await.unwrap();
    let mut other = kit::job("other");
    other.key = std::sync::Arc::new(executor_core::JobKey {
        app_key: "heating".into(),
        ..(*other.key).clone()
    });
    store.register_job(other).await.unwrap();
    let job: JobId = store.register_job(kit::job("nightly")).await.unwrap();
    let done = store.reconcile(wanted(&[live])).await.unwrap();
    let expected = vec![RegistrationId::Listener(stale), RegistrationId::Job(job)];
    assert_eq!(
        done,
        Reconciled {
            deleted: expected,
            retired: Vec::new()
        }
    );
    assert_eq!(database.number("SELECT count(*) FROM listeners"), 2);
    assert_eq!(
        database.text("SELECT app_key FROM scheduled_jobs"),
        "heating"
    );
}

#[tokio::test]
async fn d02_a_once_listener_that_has_run_in_this_session_is_left_alone() {
    let database = Database::new();
    let store = database.open().await;
    let mut once = kit::listener("once");
    once.details.once = true;
    let id = store.register_listener(once.clone()).await.unwrap();
    let (this, another) = (kit::session(), kit::session());
    persist(&store, &this, vec![kit::record(&once, Some(id), 0)])
        .await
        .unwrap();
    let in_session = |session| Reconcile {
        session,
        ..wanted(&[])
    };
    let nothing = Reconciled::default();
    assert_eq!(store.reconcile(in_session(None)).await.unwrap(), nothing);
    assert_eq!(
        store.reconcile(in_session(Some(this.id))).await.unwrap(),
        nothing
    );
    let later = store.reconcile(in_session(Some(another.id))).await.unwrap();
    assert_eq!(later.retired, [RegistrationId::Listener(id)]);
}

#[tokio::test]
async fn d02_the_first_time_of_retirement_stands() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let id = store.register_listener(listener.clone()).await.unwrap();
    persist(
        &store,
        &kit::session(),
        vec![kit::record(&listener, Some(id), 0)],
    )
    .await
    .unwrap();
    store.reconcile(wanted(&[])).await.unwrap();
    let later = Reconcile {
        at: Timestamp::from_micros(99),
        ..wanted(&[])
    };
    assert_eq!(store.reconcile(later).await.unwrap(), Reconciled::default());
    assert_eq!(database.number("SELECT retired_us FROM listeners"), 77);
}

#[tokio::test]
async fn d03_cancelling_is_durable_and_an_unknown_id_is_reported() {
    let database = Database::new();
    let store = database.open().await;
    let job = store.register_job(kit::job("nightly")).await.unwrap();
    let at = Timestamp::from_micros;
    assert!(
        store
            .mark_cancelled(RegistrationId::Job(job), at(5))
            .await
            .unwrap()
    );
    assert!(
        store
            .mark_cancelled(RegistrationId::Job(job), at(6))
            .await
            .unwrap()
    );
    assert!(
        !store
            .mark_cancelled(RegistrationId::Job(JobId(99)), at(5))
            .await
            .unwrap()
    );
    assert!(
        !store
            .mark_cancelled(RegistrationId::Listener(ListenerId(1)), at(5))
            .await
            .unwrap()
    );
    drop(store);
    assert_eq!(database.number("SELECT removed_us FROM scheduled_jobs"), 5);
}
