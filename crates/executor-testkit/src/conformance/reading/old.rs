//! What is older than the history's age goes, and nothing else.

use std::time::Duration;

use executor_core::ports::{
    Filter, Gap, History, MissedReason, MissedRuns, PageRequest, Pause, Progress, PruneRule,
    PruneSlice, Session, SessionEnd, SessionStatus, SourceCounts, Store, UnheardTopic, Window,
};
use executor_core::{DropReason, Ledger, SessionId, Timestamp};

use crate::conformance::persist;
use crate::pruning::hour_of;
use crate::samples;

const DAY: Duration = Duration::from_secs(86_400);

/// A time on a day of the history.
fn at(day: u32) -> Timestamp {
    let begun = hour_of(samples::session().started_at);
    begun.saturating_add(DAY * day + Duration::from_secs(3_600))
}

/// A session that began and ended on a day, with all that `lives` gives it.
async fn lived<S: Store>(store: &S, day: u32) {
    let id = lives(store, day, "dim").await;
    let end = SessionEnd {
        at: at(day),
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger::default(),
    };
    store.close_session(id, end).await.expect("closes");
}

/// A session of a day with a lost record, a missed run of a job, a pause and an unheard event.
async fn lives<S: Store>(store: &S, day: u32, job: &str) -> SessionId {
    let session = Session::new(SessionId::new(at(day)), "testhost", at(day));
    let id = session.id;
    let opened = store.open_session(session.into()).await;
    opened.expect("opens");
    let gap = gap(id, day);
    store.record_gaps(vec![gap]).await.expect("records");
    let missed = missed(id, day, job);
    store.record_missed(vec![missed]).await.expect("records");
    let pause = pause(id, day);
    store.record_pauses(vec![pause]).await.expect("records");
    let source = with_unheard_rain(id, day);
    store.note_sources(vec![source]).await.expect("notes");
    id
}

fn gap(session: SessionId, day: u32) -> Gap {
    Gap {
        session,
        reason: DropReason::Overflow.into(),
        count: 1,
        first_at: at(day),
        last_at: at(day),
        entities: Vec::new(),
    }
}

fn missed(session: SessionId, day: u32, job: &str) -> MissedRuns {
    MissedRuns {
        session: Some(session),
        entity: samples::job(job).entity,
        reason: MissedReason::Asleep,
        count: 1,
        first_due: at(day),
        last_due: at(day),
    }
}

fn pause(session: SessionId, day: u32) -> Pause {
    Pause {
        session,
        entity: None,
        from: at(day),
        until: Some(at(day)),
    }
}

fn with_unheard_rain(session: SessionId, day: u32) -> SourceCounts {
    SourceCounts {
        session,
        name: "broker".into(),
        lines: 1,
        events: 1,
        bad_lines: 0,
        unheard: 1,
        topics: vec![UnheardTopic {
            hour_at: hour_of(at(day)),
            last_hour_at: hour_of(at(day)),
            topic: "rain".into(),
            count: 1,
        }],
        first_bad_lines: Vec::new(),
    }
}

/// How many there are of each: sessions, gaps, missed runs, pauses, sources, hours of topics, hours that are counted.
async fn counts<H: History>(history: &H) -> [usize; 7] {
    let all = || (Window::default(), PageRequest::default());
    let sessions = history.sessions(all().1).await.expect("answers").items;
    let gaps = history.gaps(all().0, all().1).await.expect("answers").items;
    let missed = history.missed_runs(all().0, all().1).await;
    let pauses = history.pauses(all().0, all().1).await.expect("answers");
    let sources = history.sources(all().0, all().1).await.expect("answers");
    let topics = sources.items.iter().map(|it| it.topics.len()).sum();
    let evidence = history.evidence(all().0, Progress::ignored()).await;
    let evidence = evidence.expect("answers");
    let stored: u64 = evidence.hours.iter().map(|it| it.stored).sum();
    let rolled_up: u64 = evidence.rollups.iter().map(|it| it.count).sum();
    assert_eq!(stored, rolled_up, "both go together");
    [
        sessions.len(),
        gaps.len(),
        missed.expect("answers").items.len(),
        pauses.items.len(),
        sources.items.len(),
        topics,
        evidence.hours.len(),
    ]
}

async fn prune<S: Store>(store: &S, rule: PruneRule) -> u64 {
    let mut gone = 0;
    loop {
        match store
            .prune(PruneSlice::new(rule, 2))
            .await
            .expect("answers")
        {
            0 => return gone,
            some => gone += some,
        }
    }
}

pub(super) async fn old_history_goes_and_nothing_else<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    for day in 0..4 {
        lived(store, day).await;
    }
    // One lives on; it began with the first.
    let living = lives(store, 0, "fade").await;
    let hall = samples::listener("hall");
    for day in [1, 3] {
        let session = Session::new(living, "testhost", at(0)).into();
        let mut record = samples::record(&hall, None, 0);
        record.started_at = at(day);
        persist(store, &session, vec![record]).await;
    }
    assert_eq!(counts(history).await, [5, 5, 5, 5, 5, 5, 2]);
    // A row of the second day keeps that day, however old it is.
    assert!(prune(store, PruneRule::HistoryBefore(at(9))).await > 0);
    // Of the first day, the session that lives on keeps what is its own.
    assert_eq!(counts(history).await, [4, 4, 3, 3, 4, 3, 2]);

    prune(store, PruneRule::EndedBefore(at(2))).await;
    prune(store, PruneRule::HistoryBefore(at(2))).await;
    // The session that lives on keeps the counts of all its hours: its ledger is compared with them.
    assert_eq!(counts(history).await, [3, 3, 2, 2, 3, 2, 2]);
    assert_eq!(prune(store, PruneRule::HistoryBefore(at(2))).await, 0);
    let page = history.executions(Filter::default(), PageRequest::default());
    let left = page.await.expect("answers").items;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].session, living);
}
