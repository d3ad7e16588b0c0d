//! Works out when a schedule of the history plans its next run.

use executor_core::Timestamp;
use executor_core::ports::SchedulePlan;

use crate::schedule::Schedule;

/// Returns the first time after `after` at which a schedule plans a run, before jitter; `None` if there is none, or if
/// that cannot be determined.
///
/// Schedules that go by elapsed time count from the beginning of their process, which the history does not have:
/// `last_due` is the time at which their last run was due. After a restart they count anew, so the time is right only
/// while that process lives.
///
/// ```
/// use std::time::Duration;
/// use executor_core::{Timestamp, ports::SchedulePlan};
/// use executor_service::diagnosis::next_planned;
///
/// let hourly = SchedulePlan {
///     text: "cron 0 * * * *".into(),
///     time_zone: Some("UTC".into()),
///     jitter: Duration::ZERO,
///     missed: "skip".into(),
///     is_persistent: false,
/// };
/// let (now, hour) = (Timestamp::from_micros(1), Timestamp::from_micros(3_600_000_000));
/// assert_eq!(next_planned(&hourly, None, now), Some(hour));
/// ```
pub fn next_planned(
    plan: &SchedulePlan,
    last_due: Option<Timestamp>,
    after: Timestamp,
) -> Option<Timestamp> {
    let schedule = Schedule::of_plan(plan)?;
    match schedule.goes_by_wall_clock() {
        true => schedule.planned_after(after, after),
        false if schedule.is_interval() => schedule.planned_after(last_due?, after),
        false => None,
    }
}
