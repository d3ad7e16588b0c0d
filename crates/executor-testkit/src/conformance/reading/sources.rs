//! What was read from sources of events is read back.

use executor_core::ports::{
    BadLine, History, PageRequest, SourceCounts, Store, UnheardTopic, Window,
};
use executor_core::{ErrorClass, SessionId, Timestamp};

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
    let nobody = store.note_sources(vec![broker(session.id)]).await;
    let class = nobody.expect_err("the session has no row").class;
    assert_eq!(class, ErrorClass::Dangling);
    let opened = store.open_session(session.clone()).await;
    opened.expect("opens");
    totals_only_grow(store, history, session.id).await;
    news_is_added(store, history, session.id).await;
    pages_follow_each_other(history, session.id).await;
    windows_hold_their_hours(history).await;
}

fn heard(number: i64, topic: &str, count: u64) -> UnheardTopic {
    UnheardTopic {
        hour_at: hour(number),
        last_hour_at: hour(number),
        topic: topic.into(),
        count,
    }
}

fn broker(session: SessionId) -> SourceCounts {
    SourceCounts {
        session,
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
    }
}

fn file(session: SessionId) -> SourceCounts {
    SourceCounts {
        name: "file".into(),
        topics: Vec::new(),
        first_bad_lines: Vec::new(),
        ..broker(session)
    }
}

async fn note<S: Store>(store: &S, counts: SourceCounts) {
    let noted = store.note_sources(vec![counts]).await;
    noted.expect("notes");
}

async fn read<H: History>(history: &H, window: Window) -> Vec<SourceCounts> {
    let page = history.sources(window, PageRequest::default()).await;
    page.expect("answers").items
}

async fn totals_only_grow<S: Store, H: History>(store: &S, history: &H, session: SessionId) {
    note(store, broker(session)).await;
    let older = SourceCounts {
        lines: 3,
        events: 3,
        unheard: 1,
        topics: vec![heard(0, "rain", 1)],
        ..broker(session)
    };
    note(store, older).await;
    let all = read(history, Window::default()).await;
    assert_eq!(all, [broker(session)], "totals only grow");
}

async fn news_is_added<S: Store, H: History>(store: &S, history: &H, session: SessionId) {
    let news = SourceCounts {
        topics: vec![
            heard(1, "snow", 2),
            heard(1, "hail", 5),
            heard(1, "rain", 4),
        ],
        first_bad_lines: Vec::new(),
        ..broker_with_news(session)
    };
    note(store, news).await;
    note(store, file(session)).await;
    let all = read(history, Window::default()).await;
    assert_eq!(all, [file(session), broker_with_news(session)]);
}

/// The rain of both hours is one topic.
fn broker_with_news(session: SessionId) -> SourceCounts {
    let rain = UnheardTopic {
        hour_at: hour(0),
        ..heard(1, "rain", 7)
    };
    SourceCounts {
        lines: 14,
        events: 11,
        unheard: 6,
        topics: vec![rain, heard(1, "hail", 5), heard(1, "snow", 2)],
        ..broker(session)
    }
}

async fn pages_follow_each_other<H: History>(history: &H, session: SessionId) {
    let page = async |request| {
        let page = history.sources(Window::default(), request).await;
        page.expect("answers")
    };
    let one = page(PageRequest::first(1)).await;
    assert_eq!(one.items, [file(session)]);
    let rest = PageRequest {
        after: one.next,
        ..PageRequest::first(1)
    };
    assert_eq!(page(rest).await.items, [broker_with_news(session)]);
}

async fn windows_hold_their_hours<H: History>(history: &H) {
    let second = Window {
        to: None,
        ..Window::since(hour(1))
    };
    let topics = &read(history, second).await[1].topics;
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
    assert_eq!(read(history, elsewhere).await, []);
}
