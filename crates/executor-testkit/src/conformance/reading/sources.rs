//! What was read from sources of events is read back.

use executor_core::ports::{
    BadLine, History, PageRequest, SourceCounts, Store, UnheardTopic, Window,
};
use executor_core::{ErrorClass, Timestamp};

use crate::pruning::hour_of;
use crate::samples;

const HOUR_US: i64 = 3_600_000_000;

/// A beginning of an hour, some hours after the session's beginning.
fn hour(number: i64) -> Timestamp {
    let begun = hour_of(samples::session().started_at);
    Timestamp::from_micros(begun.as_micros() + (1 + number) * HOUR_US)
}

pub(super) async fn sources_of_events_are_read_back<S: Store, H: History>(store: &S, history: &H) {
    let session = samples::session();
    let heard = |number, topic: &str, count| UnheardTopic {
        hour_at: hour(number),
        last_hour_at: hour(number),
        topic: topic.into(),
        count,
    };
    let mut broker = SourceCounts {
        session: session.id,
        name: "broker".into(),
        lines: 12,
        events: 9,
        bad_lines: 1,
        unheard: 4,
        topics: vec![heard(0, "rain", 3), heard(1, "snow", 1)],
        first_bad_lines: vec![BadLine {
            line: 7,
            at: hour(0),
            problem: "no topic at /topic".into(),
            text: "{}".into(),
        }],
    };
    let nobody = store.note_sources(vec![broker.clone()]).await;
    let class = nobody.expect_err("the session has no row").class;
    assert_eq!(class, ErrorClass::Dangling);

    let opened = store.open_session(session.clone()).await;
    opened.expect("opens");
    let note = async |counts: &SourceCounts| {
        let noted = store.note_sources(vec![counts.clone()]).await;
        noted.expect("notes");
    };
    note(&broker).await;
    let older = SourceCounts {
        lines: 3,
        events: 3,
        unheard: 1,
        topics: vec![heard(0, "rain", 1)],
        ..broker.clone()
    };
    note(&older).await;
    let read = async |window| {
        let page = history.sources(window, PageRequest::default()).await;
        page.expect("answers").items
    };
    let all = Window::default;
    assert_eq!(read(all()).await, [broker.clone()], "totals only grow");

    let news = SourceCounts {
        lines: 14,
        events: 11,
        unheard: 6,
        topics: vec![
            heard(1, "snow", 2),
            heard(1, "hail", 5),
            heard(1, "rain", 4),
        ],
        first_bad_lines: Vec::new(),
        ..broker.clone()
    };
    note(&news).await;
    let file = SourceCounts {
        name: "file".into(),
        topics: Vec::new(),
        first_bad_lines: Vec::new(),
        ..broker.clone()
    };
    note(&file).await;
    let rain = UnheardTopic {
        hour_at: hour(0),
        ..heard(1, "rain", 7)
    };
    broker.topics = vec![rain, heard(1, "hail", 5), heard(1, "snow", 2)];
    broker = SourceCounts {
        lines: 14,
        events: 11,
        unheard: 6,
        ..broker
    };
    assert_eq!(read(all()).await, [file.clone(), broker.clone()]);

    let one = history
        .sources(all(), PageRequest::first(1))
        .await
        .expect("answers");
    assert_eq!(one.items, [file]);
    let rest = PageRequest {
        after: one.next,
        ..PageRequest::first(1)
    };
    let rest = history.sources(all(), rest).await.expect("answers");
    assert_eq!(rest.items, [broker.clone()]);

    let second = Window {
        to: None,
        ..Window::since(hour(1))
    };
    let topics = &read(second).await[1].topics;
    let of_second = [
        heard(1, "hail", 5),
        heard(1, "rain", 4),
        heard(1, "snow", 2),
    ];
    assert_eq!(
        *topics, of_second,
        "what was in the first hour is before it"
    );
    let elsewhere = Window::of_session(samples::session().id);
    assert_eq!(read(elsewhere).await, []);
}
