//! Checks that a history tells what was pruned, and counts what each session stored and lost to it.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    History, PageRequest, Progress, PruneRule, PruneSlice, RolledUpHour, Session, SessionCounts,
    SessionEnd, SessionHour, SessionStatus, Store, StoredPrune, Window,
};
use executor_core::{ExecutionRecord, Ledger, Timestamp};

use crate::conformance::persist;
use crate::pruning::hour_of;
use crate::samples;

pub(super) async fn prunes_are_told_and_counted<S: Store, H: History>(store: &S, history: &H) {
    let given = Given::to(store).await;
    given.is_pruned(store).await;
    given.prunes_are_told(history).await;
    counts_are_read_back(history).await;
    given.evidence_agrees(history).await;
}

const OF_FIRST: SessionCounts = SessionCounts {
    is_counted: true,
    pruned: 5,
    taken_over: 1,
    is_final: true,
    stored: 5,
};

const OF_SECOND: SessionCounts = SessionCounts {
    pruned: 0,
    taken_over: 0,
    is_final: false,
    stored: 1,
    ..OF_FIRST
};

/// Six executions of one hour: the first session's, of which one was stored after its end, and one of the second.
struct Given {
    first: Arc<Session>,
    second: Arc<Session>,
    records: Vec<ExecutionRecord>,
}

impl Given {
    async fn to<S: Store>(store: &S) -> Self {
        let (first, second) = (samples::session(), samples::session());
        let hall = samples::listener("hall");
        let records: Vec<_> = (0..6)
            .map(|number| samples::record(&hall, None, number * 1_000))
            .collect();
        persist(store, &first, records[..4].to_vec()).await;
        // What is there already is no new row.
        persist(store, &first, records[..4].to_vec()).await;
        let end = SessionEnd {
            at: records[5].ended_at(),
            status: SessionStatus::Success,
            failure: None,
            ledger: Ledger::default(),
        };
        let closed = store.close_session(first.id, end).await;
        closed.expect("closes");
        // A later process stores what the first one left.
        persist(store, &first, records[4..5].to_vec()).await;
        persist(store, &second, records[5..].to_vec()).await;
        Self {
            first,
            second,
            records,
        }
    }

    fn end_of(&self, place: usize) -> Timestamp {
        self.records[place].ended_at()
    }

    fn hour(&self) -> Timestamp {
        hour_of(self.end_of(5))
    }

    /// Prunes the first three by their age, then all but the newest.
    async fn is_pruned<S: Store>(&self, store: &S) {
        let slice = |rule, max_rows| PruneSlice {
            now: self.end_of(5),
            session: Some(self.second.id),
            ..PruneSlice::new(rule, max_rows)
        };
        let age = PruneRule::EndedBefore(self.end_of(3));
        for _ in 0..2 {
            store.prune(slice(age, 2)).await.expect("answers");
        }
        let newest = PruneRule::AllButNewest(1);
        assert_eq!(store.prune(slice(newest, 9)).await.expect("answers"), 2);
    }

    async fn prunes_are_told<H: History>(&self, history: &H) {
        let prune = |rule: &str, count, ended: [usize; 2]| StoredPrune {
            session: Some(self.second.id),
            rule: rule.to_owned(),
            hour_at: self.hour(),
            count,
            first_at: self.end_of(ended[0]),
            last_at: self.end_of(ended[1]),
        };
        let told = async |window| {
            let page = history.prunes(window, PageRequest::default()).await;
            page.expect("answers").items
        };
        let expected = [prune("number", 2, [3, 4]), prune("age", 3, [0, 2])];
        let all = told(Window::default()).await;
        assert_eq!(all, expected, "the latest first");
        let since = Window::since(self.end_of(4));
        assert_eq!(told(since).await, expected[..1]);
    }

    async fn evidence_agrees<H: History>(&self, history: &H) {
        let evidence = history.evidence(Window::default(), Progress::ignored());
        let evidence = evidence.await.expect("answers");
        let told: Vec<_> = evidence.sessions.iter().map(|it| it.counts).collect();
        assert_eq!(told, [OF_FIRST, OF_SECOND], "the oldest first");
        let hour_at = self.hour();
        let hour = |session: &Session, stored, pruned| SessionHour {
            session: session.id,
            hour_at,
            stored,
            pruned,
            rows: stored - pruned,
        };
        let expected = [hour(&self.first, 5, 5), hour(&self.second, 1, 0)];
        assert_eq!(evidence.hours, expected);
        let rolled_up = vec![RolledUpHour { hour_at, count: 6 }];
        assert_eq!((evidence.rollups, evidence.gaps), (rolled_up, Vec::new()));
        let later = Window::since(hour_at.saturating_add(Duration::from_secs(3_600)));
        let evidence = history.evidence(later, Progress::ignored()).await;
        assert_eq!(evidence.expect("answers").hours, []);
    }
}

async fn counts_are_read_back<H: History>(history: &H) {
    let sessions = history.sessions(PageRequest::default()).await;
    let counts = sessions.expect("answers").items.into_iter();
    let counts: Vec<_> = counts.map(|it| it.counts).collect();
    assert_eq!(counts, [OF_SECOND, OF_FIRST]);
}
