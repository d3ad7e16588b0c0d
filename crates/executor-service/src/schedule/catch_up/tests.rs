//! Tests of `catch_up.rs`.

use std::time::Duration;

use executor_core::ports::SchedulePlan;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::Missed;
use super::*;

const MINUTE: i64 = 60_000_000;

/// 2026-01-01T00:00:00Z and so many minutes.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + minutes * MINUTE)
}

fn hourly() -> Schedule {
    Schedule::cron("0 * * * *", "UTC").unwrap()
}

fn since(alive_until: i64, plan: SchedulePlan) -> Earlier {
    Earlier {
        plan: Some(plan),
        alive_until: Some(at(alive_until)),
        ..Earlier::default()
    }
}

fn spans(caught_up: &CatchUp) -> Option<(MissedReason, u64, Timestamp, Timestamp)> {
    let [(reason, span)] = caught_up.missed[..] else {
        assert_eq!(caught_up.missed, [], "one episode at most");
        return None;
    };
    Some((reason, span.count, span.first, span.last))
}

#[test]
fn f07_what_lies_after_the_last_sign_of_life_and_the_last_run_is_missed() {
    let found = catch_up(&since(90, hourly().plan()), None, at(250));
    assert_eq!(
        spans(&found),
        Some((MissedReason::NoProcess, 3, at(120), at(240)))
    );
    let run_meanwhile = Earlier {
        dealt_with: vec![(at(120), at(180))],
        ..since(90, hourly().plan())
    };
    let found = catch_up(&run_meanwhile, None, at(250));
    assert_eq!(
        spans(&found),
        Some((MissedReason::NoProcess, 1, at(240), at(240)))
    );
    // Jitter may have delayed the run at two o'clock beyond the death.
    let jitter = hourly().jitter(Duration::from_secs(600)).plan();
    let found = catch_up(&since(125, jitter.clone()), None, at(130));
    assert_eq!(
        spans(&found),
        Some((MissedReason::NoProcess, 1, at(120), at(120)))
    );
    let begun = Earlier {
        dealt_with: vec![(at(120), at(120))],
        ..since(125, jitter)
    };
    assert_eq!(catch_up(&begun, None, at(130)), CatchUp::default());
}

#[test]
fn f07_nothing_is_inferred_from_what_nobody_knows() {
    let known = since(90, hourly().plan());
    let found = |earlier: Earlier| catch_up(&earlier, Some(&hourly()), at(250));
    let nothing = CatchUp::default();
    let never_had = Earlier {
        plan: None,
        ..known.clone()
    };
    assert_eq!(found(never_had), nothing);
    let of_an_earlier_schema = Earlier {
        alive_until: None,
        ..known.clone()
    };
    assert_eq!(found(of_an_earlier_schema), nothing);
    let elsewhere = Earlier {
        elsewhere: Some(executor_core::SessionId::from_uuid(Uuid::from_u128(1))),
        ..known.clone()
    };
    assert_eq!(found(elsewhere), nothing);
    let of_a_later_version = SchedulePlan {
        text: "moon full".into(),
        ..hourly().plan()
    };
    assert_eq!(found(since(90, of_a_later_version)), nothing);
    let removed = Earlier {
        until: Some(at(130)),
        ..known
    };
    let missed = spans(&found(removed));
    assert_eq!(missed, Some((MissedReason::NoProcess, 1, at(120), at(120))));
}

#[test]
fn f07_a_schedule_is_read_back_as_it_was_kept() {
    let all = Missed::RunAll { at_most: 7 };
    for schedule in [
        hourly().missed(all).persistent(),
        Schedule::cron("*/5 8-18 * * MON-FRI", "Europe/Berlin")
            .unwrap()
            .jitter(Duration::from_millis(1_500)),
        Schedule::cron("@daily", "local")
            .unwrap()
            .missed(Missed::RunOnce),
        Schedule::once(Timestamp::from_micros(1_767_225_600_123_456)),
        Schedule::every(Duration::from_millis(90_500)),
        Schedule::after(Duration::from_secs(86_400 * 3)),
    ] {
        let plan = schedule.plan();
        let read = Schedule::of_plan(&plan);
        assert_eq!(read.map(|it| it.plan()), Some(plan), "{schedule:?}");
    }
}

#[test]
fn f07_what_lies_below_a_later_run_is_missed_too() {
    let holey = Earlier {
        dealt_with: vec![(at(240), at(240)), (at(0), at(60)), (at(300), at(360))],
        ..since(30, hourly().plan())
    };
    let found = catch_up(&holey, None, at(430));
    let told: Vec<_> = found
        .missed
        .iter()
        .map(|(_, it)| (it.count, it.first, it.last))
        .collect();
    assert_eq!(told, [(1, at(420), at(420)), (2, at(120), at(180))]);
    let persistent = hourly().missed(Missed::RunAll { at_most: 2 }).persistent();
    let found = catch_up(&holey, Some(&persistent), at(430));
    assert_eq!(found.runs, [at(180), at(420)], "in their order");
    let told: Vec<_> = found
        .missed
        .iter()
        .map(|(why, it)| (*why, it.count, it.first))
        .collect();
    assert_eq!(told, [(MissedReason::Superseded, 1, at(120))]);
}

proptest! {
    /// Every planned run of the time without a process is either made up for or missed, and no other is.
    #[test]
    fn f07_of_what_was_planned_nothing_is_lost_or_told_twice(
        dead in 0..2_000_i64, gap in 0..5_000_i64, at_most in 0..5_u32, rule in 0..3_usize, persistent: bool,
        ran in prop::collection::vec((0..120_i64, 0..4_i64), 0..6),
    ) {
        let missed = [Missed::Skip, Missed::RunOnce, Missed::RunAll { at_most }][rule];
        let schedule = hourly().missed(missed);
        let schedule = if persistent { schedule.persistent() } else { schedule };
        let ran: Vec<_> = ran.into_iter().map(|(from, hours)| (from * 60, (from + hours) * 60)).collect();
        let earlier = Earlier {
            dealt_with: ran.iter().map(|(first, last)| (at(*first), at(*last))).collect(),
            ..since(dead, hourly().plan())
        };
        let found = catch_up(&earlier, Some(&schedule), at(dead + gap));
        let is_open = |minute: &i64| !ran.iter().any(|(first, last)| (first..=last).contains(&minute));
        let planned: Vec<i64> = (dead..=dead + gap).filter(|minute| minute % 60 == 0).filter(is_open).collect();
        let runs: Vec<i64> = found.runs.iter().map(|run| (run.as_micros() - at(0).as_micros()) / MINUTE).collect();
        let left_out = planned.len() - runs.len();
        prop_assert_eq!(&planned[left_out..], &runs[..], "the latest, in their order");
        let mut told = Vec::new();
        for (_, span) in found.missed.iter().rev() {
            let (first, last) = (span.first.as_micros() - at(0).as_micros(), span.last.as_micros() - at(0).as_micros());
            let hours: Vec<i64> = (first / MINUTE..=last / MINUTE).step_by(60).collect();
            prop_assert_eq!(span.count, hours.len() as u64);
            told.extend(hours);
        }
        prop_assert_eq!(&planned[..left_out], &told[..]);
        prop_assert!(runs.is_empty() || persistent && missed != Missed::Skip);
        prop_assert!(!persistent || missed == Missed::Skip || left_out == 0 || !runs.is_empty());
    }
}
