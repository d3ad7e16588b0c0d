//! Clauses D1 to D3: listeners and jobs.

use std::time::Duration;

use executor_core::ports::{Apply, Fate, Reconcile, Reconciled, RegistrationStore};
use executor_core::registration::{JobDetails, Overlap, ScheduleText};
use executor_core::{Entity, RegistrationId, RowId, SourceTier, Timestamp};
use executor_testkit as kit;

use crate::support::{Database, persist};

fn wanted(live: &[RowId]) -> Reconcile {
    Reconcile {
        app_key: "lights".into(),
        live: live.iter().copied().map(RegistrationId::listener).collect(),
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
    let id = store.register(listener.clone()).await.unwrap();
    let used = kit::record(&listener, Some(id), 0);
    persist(&store, &kit::session(), vec![used]).await.unwrap();
    store.reconcile(wanted(&[])).await.unwrap();
    store
        .mark_cancelled(RegistrationId::listener(id), Timestamp::from_micros(5))
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
    assert_eq!(store.register(listener).await.unwrap(), id);
    let row = "SELECT concat_ws('|', description, coalesce(entity, '-'), timeout_us, source_tier, \
               overlap, priority, once, coalesce(retired_us, '-'), coalesce(removed_us, '-')) \
               FROM listeners";
    assert_eq!(database.text(row), "new|-|3000|framework|queued|-4|1|-|-");
}

#[tokio::test]
async fn d01_a_job_that_is_registered_again_is_updated_and_live_too() {
    let database = Database::new();
    let store = database.open().await;
    let job = kit::job("nightly").with_job(JobDetails {
        handler_name: Some("old".into()),
        group: Some("night".into()),
        arguments_json: Some("[1]".into()),
        ..JobDetails::default()
    });
    let id = store.register(job.clone()).await.unwrap();
    let used = kit::record(&job, Some(id), 0);
    persist(&store, &kit::session(), vec![used]).await.unwrap();
    store.reconcile(wanted(&[])).await.unwrap();
    let at = Timestamp::from_micros(5);
    store
        .mark_cancelled(RegistrationId::job(id), at)
        .await
        .unwrap();
    let marks = "SELECT count(*) FROM scheduled_jobs WHERE retired_us = 77 AND removed_us = 5";
    assert_eq!(database.number(marks), 1);

    let mut job = job.with_job(JobDetails {
        handler_name: Some("new".into()),
        group: None,
        arguments_json: Some("[2]".into()),
        schedule: ScheduleText {
            trigger_type: "cron".into(),
            label: Some("at two".into()),
            detail: None,
        },
    });
    job.details.timeout = None;
    assert_eq!(store.register(job).await.unwrap(), id);
    let row = "SELECT concat_ws('|', handler_name, coalesce(job_group, '-'), arguments_json, \
               trigger_type, trigger_label, coalesce(timeout_us, '-'), coalesce(retired_us, '-'), \
               coalesce(removed_us, '-')) FROM scheduled_jobs";
    assert_eq!(database.text(row), "new|-|[2]|cron|at two|-|-|-");
}

#[tokio::test]
async fn d01_every_part_of_an_entity_tells_registrations_apart() {
    let database = Database::new();
    let store = database.open().await;
    let (listener, job) = (kit::listener("hall"), kit::job("nightly"));
    let mut records = Vec::new();
    for (app_key, instance, name, topic) in [
        ("lights", 0, "hall", "motion.hall"),
        ("heating", 0, "hall", "motion.hall"),
        ("lights", 1, "hall", "motion.hall"),
        ("lights", 0, "door", "motion.hall"),
        ("lights", 0, "hall", "motion.door"),
    ] {
        let mut other = listener.clone();
        other.entity = Entity::listener(app_key, instance, name, topic).into();
        store.register(other.clone()).await.unwrap();
        // Matched by its key when it is stored.
        records.push(kit::record(&other, None, 0));
    }
    for (app_key, instance, name) in [
        ("lights", 0, "nightly"),
        ("heating", 0, "nightly"),
        ("lights", 1, "nightly"),
        ("lights", 0, "daily"),
    ] {
        let mut other = job.clone();
        other.entity = Entity::job(app_key, instance, name).into();
        store.register(other.clone()).await.unwrap();
        records.push(kit::record(&other, None, 0));
    }
    let fates = persist(&store, &kit::session(), records).await.unwrap();
    assert_eq!(fates, vec![Fate::Stored; 9]);
    let rows =
        "SELECT count(DISTINCT listener_id) || ' ' || count(DISTINCT job_id) FROM executions";
    assert_eq!(database.text(rows), "5 4");
}

#[tokio::test]
async fn d02_reconciling_touches_only_what_is_stale_of_this_app() {
    let database = Database::new();
    let store = database.open().await;
    let live = store.register(kit::listener("live")).await.unwrap();
    let stale = store.register(kit::listener("stale")).await.unwrap();
    let mut framework = kit::listener("framework");
    framework.details.source_tier = SourceTier::Framework;
    store.register(framework).await.unwrap();
    let mut other = kit::job("other");
    other.entity = Entity::job("heating", 0, "other").into();
    store.register(other).await.unwrap();
    let job = store.register(kit::job("nightly")).await.unwrap();
    let done = store.reconcile(wanted(&[live])).await.unwrap();
    let expected = vec![RegistrationId::listener(stale), RegistrationId::job(job)];
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
    let id = store.register(once.clone()).await.unwrap();
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
    assert_eq!(later.retired, [RegistrationId::listener(id)]);
}

#[tokio::test]
async fn d02_the_first_time_of_retirement_stands() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let id = store.register(listener.clone()).await.unwrap();
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
async fn d02_jobs_are_reconciled_by_the_same_rules() {
    let database = Database::new();
    let store = database.open().await;
    let mut framework = kit::job("framework");
    framework.details.source_tier = SourceTier::Framework;
    store.register(framework).await.unwrap();
    let live = store.register(kit::job("live")).await.unwrap();
    let also_live = store.register(kit::job("also live")).await.unwrap();
    let unused = store.register(kit::job("unused")).await.unwrap();
    let used = store.register(kit::job("used")).await.unwrap();
    let record = kit::record(&kit::job("used"), Some(used), 0);
    persist(&store, &kit::session(), vec![record])
        .await
        .unwrap();
    let wanted = Reconcile {
        live: vec![RegistrationId::job(live), RegistrationId::job(also_live)],
        ..wanted(&[])
    };
    let expected = Reconciled {
        deleted: vec![RegistrationId::job(unused)],
        retired: vec![RegistrationId::job(used)],
    };
    let dry = Reconcile {
        apply: Apply::DryRun,
        ..wanted.clone()
    };
    let names = "SELECT group_concat(name || coalesce(retired_us, ''), ' ') FROM scheduled_jobs";
    let before = database.text(names);
    assert_eq!(store.reconcile(dry).await.unwrap(), expected);
    assert_eq!(database.text(names), before, "it was only asked");
    assert_eq!(store.reconcile(wanted.clone()).await.unwrap(), expected);
    assert_eq!(database.text(names), "framework live also live used77");
    let later = Reconcile {
        at: Timestamp::from_micros(99),
        ..wanted
    };
    assert_eq!(store.reconcile(later).await.unwrap(), Reconciled::default());
    assert_eq!(database.text(names), "framework live also live used77");
}

#[tokio::test]
async fn d02_listeners_of_another_app_are_left_alone() {
    let database = Database::new();
    let store = database.open().await;
    let mut other = kit::listener("hall");
    other.entity = Entity::listener("heating", 0, "hall", "motion.hall").into();
    store.register(other).await.unwrap();
    let done = store.reconcile(wanted(&[])).await.unwrap();
    assert_eq!(done, Reconciled::default());
    assert_eq!(database.number("SELECT count(*) FROM listeners"), 1);
}

#[tokio::test]
async fn d03_the_first_time_of_removal_of_a_listener_stands() {
    let database = Database::new();
    let store = database.open().await;
    let id = store.register(kit::listener("hall")).await.unwrap();
    for at in [5, 6] {
        let at = Timestamp::from_micros(at);
        let known = store.mark_cancelled(RegistrationId::listener(id), at).await;
        assert!(known.unwrap());
    }
    assert_eq!(database.number("SELECT removed_us FROM listeners"), 5);
}

#[tokio::test]
async fn d03_cancelling_is_durable_and_an_unknown_id_is_reported() {
    let database = Database::new();
    let store = database.open().await;
    let job = store.register(kit::job("nightly")).await.unwrap();
    let at = Timestamp::from_micros;
    assert!(
        store
            .mark_cancelled(RegistrationId::job(job), at(5))
            .await
            .unwrap()
    );
    assert!(
        store
            .mark_cancelled(RegistrationId::job(job), at(6))
            .await
            .unwrap()
    );
    assert!(
        !store
            .mark_cancelled(RegistrationId::job(RowId::new(99)), at(5))
            .await
            .unwrap()
    );
    assert!(
        !store
            .mark_cancelled(RegistrationId::listener(RowId::new(1)), at(5))
            .await
            .unwrap()
    );
    drop(store);
    assert_eq!(database.number("SELECT removed_us FROM scheduled_jobs"), 5);
}

#[tokio::test]
async fn d02_ten_thousand_registrations_are_all_there_and_reconciled_dry_and_for_good() {
    let database = Database::new();
    let store = database.open().await;
    let mut ids = Vec::new();
    for number in 0..10_000 {
        let listener = kit::listener(&format!("l{number}"));
        ids.push(store.register(listener).await.unwrap());
    }
    let count = "SELECT count(DISTINCT name) FROM listeners WHERE retired_us IS NULL";
    assert_eq!(database.number(count), 10_000);
    // Every tenth has history, every second is live.
    let used = ids.iter().enumerate().step_by(10);
    let records =
        used.map(|(number, id)| kit::record(&kit::listener(&format!("l{number}")), Some(*id), 0));
    persist(&store, &kit::session(), records.collect())
        .await
        .unwrap();
    let live: Vec<RowId> = ids.iter().copied().skip(1).step_by(2).collect();
    let dry = Reconcile {
        apply: Apply::DryRun,
        ..wanted(&live)
    };
    let planned = store.reconcile(dry).await.unwrap();
    assert_eq!(
        (planned.deleted.len(), planned.retired.len()),
        (4_000, 1_000)
    );
    assert_eq!(database.number(count), 10_000, "a dry run changes nothing");
    assert_eq!(store.reconcile(wanted(&live)).await.unwrap(), planned);
    assert_eq!(database.number(count), 5_000);
    assert_eq!(database.number("SELECT count(*) FROM listeners"), 6_000);
    let again = store.reconcile(wanted(&live)).await.unwrap();
    assert_eq!(again, Reconciled::default());
}
