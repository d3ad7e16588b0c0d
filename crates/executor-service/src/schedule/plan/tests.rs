//! No run twice, none left out but as the schedule says, in the order of their times: whatever the clock
//! does between two looks at it.

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * SECOND)
}

/// 2026-03-29T00:00:00Z, the day of a change in Berlin.
const BEGAN: i64 = 1_774_742_400;

fn series(schedule: Schedule) -> Series {
    schedule.seed(7).begin(at(BEGAN))
}

fn seconds(plan: &Plan) -> Vec<i64> {
    plan.runs
        .iter()
        .map(|run| run.as_micros() / SECOND - BEGAN)
        .collect()
}

fn every(seconds: u64) -> Schedule {
    Schedule::every(Duration::from_secs(seconds))
}

#[test]
fn f06_what_was_missed_is_skipped_run_once_or_all_run_within_a_bound() {
    let after = |missed, late| {
        let plan = series(every(600).missed(missed)).plan(at(BEGAN), at(BEGAN + 3_000 + late));
        assert_eq!(plan.next.unwrap().planned, at(BEGAN + 3_600));
        (seconds(&plan), plan.missed)
    };
    // The latest is on time up to a minute after it.
    assert_eq!(after(Missed::Skip, 60), (vec![3_000], 4));
    assert_eq!(after(Missed::Skip, 61), (vec![], 5));
    assert_eq!(after(Missed::RunOnce, 61), (vec![3_000], 4));
    let all = |at_most| Missed::RunAll { at_most };
    assert_eq!(after(all(3), 61), (vec![1_800, 2_400, 3_000], 2));
    assert_eq!(
        after(all(9), 61),
        (vec![600, 1_200, 1_800, 2_400, 3_000], 0)
    );
    assert_eq!(after(all(0), 61), (vec![3_000], 4));
}

#[test]
fn f06_once_and_after_run_once() {
    for schedule in [
        Schedule::once(at(BEGAN + 10)),
        Schedule::after(Duration::from_secs(10)),
    ] {
        let series = series(schedule);
        let before = series.plan(at(BEGAN), at(BEGAN + 9));
        assert_eq!(
            (before.runs.len(), before.next.unwrap().due),
            (0, at(BEGAN + 10))
        );
        let then = series.plan(before.last, at(BEGAN + 10));
        assert_eq!((seconds(&then), then.next), (vec![10], None));
        assert!(seconds(&series.plan(then.last, at(BEGAN + 99))).is_empty());
    }
    let passed = series(Schedule::once(at(BEGAN)));
    assert_eq!(passed.plan(at(BEGAN), at(BEGAN + 1)).runs, []);
}

#[test]
fn f06_a_wall_clock_that_is_set_back_makes_schedules_wait_or_begin_anew() {
    let hourly = series(Schedule::cron("@hourly", "UTC").unwrap());
    let last = at(BEGAN + 10 * 3_600);
    let three_hours = hourly.plan(last, at(BEGAN + 7 * 3_600));
    assert_eq!(three_hours.next.unwrap().planned, at(BEGAN + 11 * 3_600));
    let more = hourly.plan(last, at(BEGAN + 7 * 3_600 - 1));
    assert_eq!(more.next.unwrap().planned, at(BEGAN + 7 * 3_600));
}

#[test]
fn f06_a_wall_clock_that_is_set_forward_by_decades_costs_no_more_than_some_years() {
    let decades = at(BEGAN + 50 * 365 * 86_400);
    let each_second = series(Schedule::cron("* * * * * *", "Europe/Berlin").unwrap());
    let plan = each_second.plan(at(BEGAN), decades);
    assert_eq!(plan.runs, [decades]);
    assert!(plan.missed >= WALK as u64 - 1, "{}", plan.missed);
    let all = Missed::RunAll { at_most: 3 };
    let daily = series(Schedule::cron("0 7 * * *", "UTC").unwrap().missed(all));
    let plan = daily.plan(at(BEGAN), decades);
    assert_eq!(plan.runs.len(), 3);
    assert_eq!(
        plan.next.unwrap().planned,
        at(BEGAN + 50 * 365 * 86_400 + 7 * 3_600)
    );
    let plan = series(every(1)).plan(at(BEGAN), decades);
    assert_eq!((plan.runs.len(), plan.missed), (1, 50 * 365 * 86_400 - 1));
}

#[test]
fn f06_jitter_is_drawn_anew_for_each_run_and_from_the_seed() {
    let schedule = every(100).jitter(Duration::from_secs(50));
    let delays = |seed| {
        let series = schedule.clone().seed(seed).begin(at(BEGAN));
        let mut last = at(BEGAN);
        let next = || {
            let next = series.occurrence_after(last).unwrap();
            last = next.planned;
            next.due.as_micros() - next.planned.as_micros()
        };
        std::iter::repeat_with(next)
            .take(1_000)
            .collect::<Vec<i64>>()
    };
    let drawn = delays(1);
    assert_eq!(drawn, delays(1));
    assert_ne!(drawn, delays(2));
    assert!(drawn.iter().all(|delay| (0..50 * SECOND).contains(delay)));
    let average = drawn.iter().sum::<i64>() / 1_000;
    assert!((24 * SECOND..26 * SECOND).contains(&average), "{average}");
    let tenth = drawn.iter().filter(|delay| **delay < 5 * SECOND).count();
    assert!((60..140).contains(&tenth), "{tenth}");
}

/// A kind of schedule with something due at least every hour.
fn kinds() -> impl Strategy<Value = Schedule> {
    let cron = |line, zone| Schedule::cron(line, zone).unwrap();
    prop::sample::select(vec![
        every(7),
        every(60),
        every(3_600),
        cron("*/5 * * * *", "Europe/Berlin"),
        cron("0,20,21 0-23 * * *", "Europe/Berlin"),
        cron("*/20 * * * * *", "America/New_York"),
        Schedule::once(at(BEGAN + 4_000)),
        Schedule::after(Duration::from_secs(1_234)),
    ])
}

fn missed() -> impl Strategy<Value = Missed> {
    prop_oneof![
        Just(Missed::Skip),
        Just(Missed::RunOnce),
        (0..100_u32).prop_map(|at_most| Missed::RunAll { at_most }),
        Just(Missed::RunAll { at_most: u32::MAX }),
    ]
}

fn span_of(planned: &[Timestamp]) -> Option<Span> {
    Some(Span {
        count: planned.len() as u64,
        first: *planned.first()?,
        last: *planned.last()?,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn f06_no_run_comes_twice_and_none_is_left_out_but_as_the_schedule_says(
        kind in kinds(),
        missed in missed(),
        jitter in prop::sample::select(vec![0, 1, 30, 5_000]),
        seed in any::<u64>(),
        // Looks at the clock: on time, after a sleep, after it was set forward or, by less than three
        // hours, back.
        steps in prop::collection::vec(
            prop_oneof![4 => 0..30 * SECOND, 1 => 0..7_200 * SECOND, 1 => -3_600 * SECOND..0],
            1..60,
        ),
    ) {
        let schedule = kind.missed(missed).jitter(Duration::from_secs(jitter)).seed(seed);
        let began = at(BEGAN);
        let series = schedule.clone().begin(began);
        let (mut now, mut latest, mut last) = (began, began, began);
        let (mut ran, mut left_out) = (Vec::new(), 0);
        for step in steps {
            // Three hours back in all.
            let earliest = latest.as_micros() - 10_000 * SECOND;
            now = Timestamp::from_micros((now.as_micros() + step).max(earliest));
            latest = latest.max(now);
            let plan = series.plan(last, now);
            let at_once = plan.runs.len() as u64;
            match missed {
                Missed::Skip => {
                    prop_assert!(at_once <= 1);
                    for run in &plan.runs {
                        prop_assert!(series.occurrence(*run).due.saturating_add(NOT_LATE) >= now);
                    }
                }
                Missed::RunOnce => prop_assert!(at_once <= 1),
                Missed::RunAll { at_most } => {
                    prop_assert!(at_once <= u64::from(at_most.max(1)));
                    prop_assert!(plan.missed == 0 || at_once == u64::from(at_most.max(1)));
                }
            }
            if missed != Missed::Skip {
                prop_assert!(plan.missed == 0 || at_once > 0);
            }
            let due = std::iter::successors(series.planned_after(last), |at| series.planned_after(*at));
            let due: Vec<_> = due.take_while(|at| *at <= plan.last).collect();
            prop_assert_eq!(plan.all(), span_of(&due));
            prop_assert_eq!(series.span(last, plan.last), span_of(&due));
            prop_assert_eq!(plan.missed_span, span_of(&due[..due.len() - plan.runs.len()]));
            ran.extend(plan.runs);
            left_out += plan.missed;
            last = plan.last;
            prop_assert!(plan.next.is_none_or(|next| next.due > now && next.planned > last));
        }
        prop_assert!(ran.is_sorted_by(|a, b| a < b), "in order, and none twice");
        let due = schedule.upcoming(began).take_while(|planned| *planned <= latest);
        let due: Vec<_> = due.filter(|planned| series.occurrence(*planned).due <= latest).collect();
        prop_assert!(ran.iter().all(|run| due.contains(run)), "only what was planned, and not before");
        prop_assert_eq!(ran.len() as u64 + left_out, due.len() as u64, "each accounted for once");
    }
}
