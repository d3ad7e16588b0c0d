//! What people asked for is read back: once, and by the time at which they did.

use std::sync::Arc;

use executor_core::ports::{History, PageRequest, RecordedAction, Store, Window};

use super::super::samples;
use super::planned::at;

pub(super) async fn actions_are_read_back<S: Store, H: History>(store: &S, history: &H) {
    let session = samples::session();
    let opened = store.open_session(Arc::clone(&session)).await;
    opened.expect("opens");
    let action = |action: &str, second: i64| RecordedAction {
        session: Some(session.id),
        at: at(second),
        who: "somebody".into(),
        origin: "192.0.2.1:50000".into(),
        action: action.into(),
        target: "house/backup".into(),
        outcome: "paused".into(),
    };
    let unknown_session = RecordedAction {
        session: None,
        ..action("run", 3)
    };
    let all = [
        action("pause", 1),
        action("resume", 1),
        action("pause", 2),
        unknown_session,
    ];
    for action in all.iter().chain(&all) {
        let recorded = store.record_action(action.clone()).await;
        recorded.expect("is idempotent");
    }
    let found = async |window| {
        let page = history.actions(window, PageRequest::default()).await;
        page.expect("answers").items
    };
    let latest_first: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(found(Window::default()).await, latest_first);
    let window = Window {
        to: Some(at(3)),
        ..Window::since(at(2))
    };
    assert_eq!(found(window).await, [all[2].clone()]);
    let of_session = Window {
        session: Some(session.id),
        ..Window::default()
    };
    assert_eq!(found(of_session).await, latest_first[1..]);
    let first = history.actions(Window::default(), PageRequest::first(3));
    let first = first.await.expect("answers");
    let rest = PageRequest::first(3).following(first.next.expect("there is one more"));
    let rest = history.actions(Window::default(), rest).await;
    assert_eq!(rest.expect("answers").items, latest_first[3..]);
}
