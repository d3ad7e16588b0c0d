//! Tests of `request_queue.rs`.

use super::*;

#[test]
fn what_is_not_urgent_has_its_turn_however_much_else_there_is() {
    let inbox = Inbox::default();
    for _ in 0..100 {
        inbox.put("store", Urgency::Now).unwrap();
    }
    inbox.put("prune", Urgency::Later).unwrap();
    let served: Vec<_> = (0..20).filter_map(|_| inbox.next()).collect();
    assert_eq!(
        served.iter().position(|request| *request == "prune"),
        Some(16)
    );
}

#[test]
fn what_is_urgent_goes_first_and_closing_loses_nothing() {
    let inbox = Inbox::default();
    inbox.put("prune", Urgency::Later).unwrap();
    inbox.put("one", Urgency::Now).unwrap();
    inbox.put("two", Urgency::Now).unwrap();
    assert_eq!(inbox.next(), Some("one"));
    let mut ended = inbox.close();
    assert_eq!(inbox.put("late", Urgency::Now), Err(Refused::Closed));
    assert_eq!(inbox.next(), Some("two"));
    assert_eq!(inbox.next(), Some("prune"));
    assert_eq!(inbox.next(), None);
    assert!(ended.try_recv().is_err());
    inbox.has_ended();
    assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    let again = inbox.close().try_recv();
    assert_eq!(again, Err(oneshot::error::TryRecvError::Closed));
}

#[test]
fn a_thread_that_died_lets_go_of_what_waits_and_another_one_may_begin() {
    let inbox = Inbox::default();
    inbox.put("lost", Urgency::Now).unwrap();
    inbox.has_ended();
    assert_eq!(
        inbox.put("asked", Urgency::Now),
        Err(Refused::Dead("asked"))
    );
    assert!(inbox.is_deserted());
    inbox.begins_again();
    assert!(!inbox.is_deserted());
    inbox.put("asked again", Urgency::Now).unwrap();
    assert_eq!(inbox.next(), Some("asked again"));
    drop(inbox.close());
    inbox.has_ended();
    inbox.begins_again();
    assert!(!inbox.is_deserted(), "closed is closed");
    assert_eq!(inbox.put("late", Urgency::Now), Err(Refused::Closed));
}
