//! Clause D11: what is read from sources of events, also what did not become an execution.

use std::borrow::Cow;
use std::sync::Arc;

use executor_core::Event;
use executor_core::ports::{History, PageRequest, SourceCounts, Window};
use executor_core::redact::{Redact, TextKind};
use executor_testkit::MemoryStore;
use tokio::time::sleep;

use crate::support::{Fixture, secs};

on_both_runtimes!(
    d11_what_was_read_from_a_source_is_in_the_history,
    d11_nothing_of_a_bad_line_passes_the_hook,
);

async fn sources(store: &MemoryStore) -> Vec<SourceCounts> {
    let page = store.sources(Window::default(), PageRequest::default());
    page.await.unwrap().items
}

fn topics(counts: &SourceCounts) -> Vec<(&str, u64)> {
    let topics = counts.topics.iter();
    topics.map(|it| (&*it.topic, it.count)).collect()
}

async fn d11_what_was_read_from_a_source_is_in_the_history() {
    let fixture = Fixture::new().await;
    fixture.noop().await;
    let broker = fixture.executor.source("broker");
    for topic in ["motion.hall", "rain", "snow", "rain"] {
        let published = broker.publish(Event::new(topic)).unwrap();
        assert_eq!(
            published.submitted.len(),
            usize::from(topic == "motion.hall")
        );
    }
    // The same source, by its name.
    let again = fixture.executor.source("broker");
    again.skipped_line();
    again.bad_line("no topic at /topic", "{}");
    fixture.executor.source("quiet");
    fixture.stop().await;

    let found = sources(&fixture.store).await;
    let [quiet, broker] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((&*quiet.name, quiet.lines), ("quiet", 0));
    assert_eq!(broker.session, fixture.executor.session_id());
    let counts = (
        broker.lines,
        broker.events,
        broker.bad_lines,
        broker.unheard,
    );
    assert_eq!(counts, (6, 4, 1, 3));
    assert_eq!(topics(broker), [("rain", 2), ("snow", 1)]);
    let bad = &broker.first_bad_lines[0];
    let told = (bad.line, &*bad.problem, &*bad.text);
    assert_eq!(told, (6, "no topic at /topic", "{}"));
}

#[tokio::test(start_paused = true)]
async fn d11_a_source_is_counted_while_the_store_is_away() {
    let fixture = Fixture::new().await;
    let broker = fixture.executor.source("broker");
    broker.publish(Event::new("rain")).unwrap();
    sleep(secs(6)).await;
    assert_eq!(
        sources(&fixture.store).await[0].unheard,
        1,
        "without a stop"
    );

    fixture.store.go_away();
    broker.publish(Event::new("rain")).unwrap();
    broker.publish(Event::new("snow")).unwrap();
    sleep(secs(20)).await;
    fixture.store.come_back();
    sleep(secs(20)).await;
    let found = sources(&fixture.store).await;
    assert_eq!((found[0].events, found[0].unheard), (3, 3));
    assert_eq!(topics(&found[0]), [("rain", 2), ("snow", 1)]);
    fixture.stop().await;
}

struct Starred;

impl Redact for Starred {
    fn redact<'t>(&self, kind: TextKind, text: &'t str) -> Cow<'t, str> {
        match kind {
            TextKind::EventLine | TextKind::Topic => text.replace("secret", "***").into(),
            _ => text.into(),
        }
    }
}

async fn d11_nothing_of_a_bad_line_passes_the_hook() {
    let fixture = Fixture::redacting(Starred).await;
    let broker = fixture.executor.source("broker");
    broker.bad_line("`secret` is no number", "secret!");
    broker.publish(Arc::new(Event::new("secret.rain"))).unwrap();
    fixture.stop().await;
    let found = sources(&fixture.store).await;
    let bad = &found[0].first_bad_lines[0];
    assert_eq!((&*bad.problem, &*bad.text), ("`***` is no number", "***!"));
    assert_eq!(topics(&found[0]), [("***.rain", 1)]);
}
