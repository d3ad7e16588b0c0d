//! When processes ran: the times in which none did, and when each began.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::ports::{SessionStatus, StoredSession};
use executor_service::diagnosis::is_alive;
use serde::Serialize;

use crate::answer::Refused;
use crate::charts::{Band, Mark, Processes};
use crate::pages::asked::Asked;
use crate::pages::parts::Moment;
use crate::question::Range;
use crate::shown;

/// The most that are drawn.
const DRAWN_MAX: usize = 60;

/// A time in which no process ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Down {
    #[serde(rename = "from_us")]
    pub(crate) from: Moment,
    #[serde(rename = "to_us")]
    pub(crate) to: Moment,
    #[serde(skip)]
    pub(crate) lasted: String,
}

/// When a process was seen alive: from its beginning to its end, or to now if it has none.
fn lived(stored: &StoredSession, range: &Range) -> (Timestamp, Timestamp) {
    let is_alive = is_alive(stored, &[], shown::now());
    let last = stored.stopped_at.unwrap_or(stored.heartbeat_at);
    let to = if is_alive { range.to.max(last) } else { last };
    (stored.session.started_at, to)
}

/// The times of a range in which no process ran, from the beginning of the first one on.
pub(crate) fn downs(sessions: &[StoredSession], range: &Range) -> Vec<Down> {
    let mut lives: Vec<_> = sessions.iter().map(|it| lived(it, range)).collect();
    lives.sort_unstable();
    let Some((first, _)) = lives.first() else {
        return Vec::new();
    };
    let (mut downs, mut up_to) = (Vec::new(), range.from.max(*first));
    let end = (range.to, range.to);
    for (from, to) in lives.into_iter().chain([end]) {
        if from > up_to && up_to < range.to {
            let to = from.min(range.to);
            downs.push(Down {
                from: Moment(up_to),
                to: Moment(to),
                lasted: shown::took(to.saturating_duration_since(up_to)),
            });
        }
        up_to = up_to.max(to);
    }
    downs
}

/// For how long of a range no process ran.
pub(crate) fn without_process(sessions: &[StoredSession], range: &Range) -> Duration {
    let downs = downs(sessions, range);
    let spans = downs.iter();
    spans
        .map(|it| it.to.0.saturating_duration_since(it.from.0))
        .sum()
}

/// What charts of a page draw of the processes of its range.
pub(crate) async fn drawn_of(asked: &Asked) -> Result<Processes, Refused> {
    Ok(drawn(asked.sessions().await?, &asked.range))
}

/// The same of another range.
pub(crate) fn drawn(sessions: &[StoredSession], range: &Range) -> Processes {
    Processes {
        downs: bands(&downs(sessions, range)),
        marks: marks(sessions, range),
    }
}

/// The same as charts draw them.
fn bands(downs: &[Down]) -> Vec<Band> {
    let drawn = downs.iter().rev().take(DRAWN_MAX);
    let bands = drawn.map(|down| Band {
        from: down.from.0,
        to: down.to.0,
        title: format!("no process ran for {}", down.lasted),
    });
    bands.collect()
}

/// The beginnings and crashes of processes in a range, as charts draw them.
fn marks(sessions: &[StoredSession], range: &Range) -> Vec<Mark> {
    let within = |at: Timestamp| at >= range.from && at < range.to;
    let mark = |at, class, stored: &StoredSession, what: &str| Mark {
        at,
        class,
        label: match &stored.session.version {
            Some(version) => format!("{version} {what}"),
            None => what.to_owned(),
        },
        title: format!("{} {what}", name(stored)),
    };
    let begun = sessions
        .iter()
        .map(|it| mark(it.session.started_at, "begun", it, "begins"));
    let crashed = sessions
        .iter()
        .filter(|it| it.status == SessionStatus::Crashed);
    let crashed = crashed.map(|it| {
        let at = it.stopped_at.unwrap_or(it.heartbeat_at);
        mark(at, "crashed", it, "crashed")
    });
    let stopped = sessions.iter().filter_map(|it| {
        let was_stopped = it.status == SessionStatus::Success;
        let at = it.stopped_at.filter(|_| was_stopped)?;
        Some(mark(at, "stopped", it, "stopped"))
    });
    let marks = begun
        .chain(crashed)
        .chain(stopped)
        .filter(|it| within(it.at));
    marks.take(DRAWN_MAX).collect()
}

/// The program of a session with its version, and where it runs.
pub(crate) fn name(stored: &StoredSession) -> String {
    let session = &stored.session;
    let program = session.program.as_deref().unwrap_or("a process");
    match &session.version {
        Some(version) => format!("{program} {version} on {}", session.host),
        None => format!("{program} on {}", session.host),
    }
}

#[cfg(test)]
mod tests {
    use executor_core::ports::{Session, SessionCounts};
    use executor_core::{Ledger, SessionId};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn stored(from: i64, to: i64) -> StoredSession {
        StoredSession {
            session: Session::new(SessionId::new(at(from)), "attic", at(from)),
            heartbeat_at: at(to),
            stopped_at: Some(at(to)),
            status: SessionStatus::Success,
            failure: None,
            ledger: Ledger::default(),
            counts: SessionCounts::default(),
            by_server: None,
        }
    }

    #[test]
    fn j03_no_time_without_a_process_goes_unseen() {
        let range = Range {
            from: at(100),
            to: at(200),
            is_open: false,
        };
        let of = |sessions: &[(i64, i64)]| {
            let sessions: Vec<_> = sessions
                .iter()
                .map(|(from, to)| stored(*from, *to))
                .collect();
            let downs = downs(&sessions, &range);
            let spans = downs.iter().map(|it| {
                (
                    it.from.0.as_micros() / 1_000_000,
                    it.to.0.as_micros() / 1_000_000,
                )
            });
            spans.collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(50, 300)]), []);
        assert_eq!(of(&[(50, 90)]), [(100, 200)]);
        assert_eq!(of(&[(50, 120), (150, 180)]), [(120, 150), (180, 200)]);
        assert_eq!(of(&[(110, 160), (120, 130), (155, 170)]), [(170, 200)]);
        assert_eq!(of(&[(250, 300)]), []);
        assert_eq!(of(&[(50, 120), (250, 300)]), [(120, 200)]);
    }
}
