//! Clause A21: an event is submitted to every live listener whose topic pattern matches.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::{Event, Refused};
use executor_service::{Config, ListenerHandle, Published, Submitted};

use crate::support::Fixture;

on_both_runtimes!(
    a21_an_event_is_for_those_whose_pattern_matches_by_priority_then_in_order,
    a21_a_listener_lives_until_it_is_cancelled_or_registered_anew,
    a21_what_is_refused_is_told_and_a_shutdown_lets_go_of_all,
    a21_topics_are_divided_as_configured_and_what_is_no_pattern_stands_for_itself,
);

type Seen = Arc<Mutex<Vec<String>>>;

async fn listen(
    fixture: &Fixture,
    seen: &Seen,
    name: &'static str,
    topic: &str,
    priority: i32,
) -> ListenerHandle {
    let seen = Arc::clone(seen);
    let listener = fixture.executor.listener("lights", name).topic(topic);
    let listener = listener.details(|details| details.priority = priority);
    let listener = listener.handler_fn(move || {
        let seen = Arc::clone(&seen);
        async move { seen.lock().unwrap().push(name.to_owned()) }
    });
    listener.register().await.unwrap()
}

async fn publish(fixture: &Fixture, topic: &str) -> usize {
    let published = fixture.executor.publish(Event::new(topic)).unwrap();
    assert!(published.refused.is_empty());
    let count = published.submitted.len();
    for submitted in published.submitted {
        submitted.await;
    }
    count
}

fn taken(seen: &Seen) -> Vec<String> {
    std::mem::take(&mut *seen.lock().unwrap())
}

async fn a21_an_event_is_for_those_whose_pattern_matches_by_priority_then_in_order() {
    let (fixture, seen) = (Fixture::new().await, Seen::default());
    for (name, topic, priority) in [
        ("hall", "motion.hall", 0),
        ("any", "motion.*", 0),
        ("first", "#", 9),
        ("last", "motion.#", -1),
        ("other", "light.*", 5),
    ] {
        listen(&fixture, &seen, name, topic, priority).await;
    }
    let published = fixture.executor.publish(Event::new("motion.hall")).unwrap();
    let ids: Vec<_> = published
        .submitted
        .iter()
        .map(Submitted::execution_id)
        .collect();
    for submitted in published.submitted {
        submitted.await;
    }
    fixture.stop().await;
    let mut records = fixture.store.records();
    records.sort_by_key(|record| ids.iter().position(|id| *id == record.execution_id));
    let names: Vec<_> = records
        .iter()
        .map(|record| record.subject.entity.name.clone())
        .collect();
    assert_eq!(names, ["first", "hall", "any", "last"]);
}

async fn a21_a_listener_lives_until_it_is_cancelled_or_registered_anew() {
    let (fixture, seen) = (Fixture::new().await, Seen::default());
    drop(listen(&fixture, &seen, "hall", "motion.*", 0).await);
    assert_eq!(
        (publish(&fixture, "motion.hall").await, taken(&seen)),
        (1, vec!["hall".into()])
    );
    // The same key again: one listener, with the new handler.
    let again = listen(&fixture, &seen, "hall", "motion.*", 0).await;
    assert_eq!(
        (publish(&fixture, "motion.hall").await, taken(&seen).len()),
        (1, 1)
    );
    again.cancel().await.unwrap();
    assert_eq!(
        (publish(&fixture, "motion.hall").await, taken(&seen).len()),
        (0, 0)
    );
    fixture.stop().await;
}

async fn a21_what_is_refused_is_told_and_a_shutdown_lets_go_of_all() {
    let (fixture, seen) = (Fixture::new().await, Seen::default());
    let hall = listen(&fixture, &seen, "hall", "motion.*", 0).await;
    hall.pause();
    let Published {
        submitted, refused, ..
    } = fixture.executor.publish(Event::new("motion.hall")).unwrap();
    assert!(submitted.is_empty());
    assert!(
        matches!(&refused[..], [(of, Refused::Paused)] if Arc::ptr_eq(of.listener(), hall.listener()))
    );
    drop(refused);
    let listener = Arc::downgrade(hall.listener());
    drop(hall);
    assert!(listener.upgrade().is_some());
    fixture.stop().await;
    // Handlers that hold the executor would keep both; they are dropped right after the report.
    let released = async {
        while listener.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    let released = tokio::time::timeout(Duration::from_secs(5), released).await;
    assert!(released.is_ok(), "the listener is still held");
    let refused = fixture.executor.publish(Event::new("motion.hall"));
    assert_eq!(refused.unwrap_err(), Refused::Stopping);
}

async fn a21_topics_are_divided_as_configured_and_what_is_no_pattern_stands_for_itself() {
    let config = Config::default().with_topic_separator('/');
    let (fixture, seen) = (Fixture::with(config).await, Seen::default());
    listen(&fixture, &seen, "one", "home/*/motion", 0).await;
    listen(&fixture, &seen, "odd", "sensor#7", 0).await;
    assert_eq!(publish(&fixture, "home/hall/motion").await, 1);
    assert_eq!(publish(&fixture, "sensor#7").await, 1);
    assert_eq!(publish(&fixture, "sensor").await, 0);
    assert_eq!(taken(&seen), ["one", "odd"]);
    fixture.stop().await;
}
