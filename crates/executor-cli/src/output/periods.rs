//! Divides a time into periods of a length that people think in.

use std::time::Duration;

use command_executor::Timestamp;

use crate::output::shown::Zone;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The most periods, however long the time is.
const PERIODS: u32 = 500;

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    TenMinutes,
    Hour,
    /// From midnight to midnight, in the zone that times are shown in.
    Days(i64),
}

/// Neighbouring periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Periods {
    /// The beginning of each, and the end of the last.
    pub(crate) bounds: Vec<Timestamp>,
    unit: Unit,
}

impl Periods {
    /// Divides a time. The first and the last period reach beyond it, to where such a period begins and ends.
    pub(crate) fn of(zone: &Zone, from: Timestamp, to: Timestamp) -> Self {
        let unit = unit_for(to.saturating_duration_since(from));
        let mut at = beginning(zone, unit, from);
        let mut bounds = vec![at];
        // A broken clock must not fill the memory.
        while at < to && bounds.len() <= 1_000 {
            let next = match unit {
                Unit::TenMinutes => at.saturating_add(10 * MINUTE),
                Unit::Hour => at.saturating_add(HOUR),
                Unit::Days(count) => zone.days_after(at, count),
            };
            if next <= at {
                break;
            }
            at = next;
            bounds.push(at);
        }
        Self { bounds, unit }
    }

    /// How the beginning of a period is shown.
    pub(crate) fn label(&self, zone: &Zone, at: Timestamp) -> String {
        match self.unit {
            Unit::TenMinutes | Unit::Hour => zone.minute(at),
            Unit::Days(_) => zone.day(at),
        }
    }

    /// What one is called.
    pub(crate) fn name(&self) -> &'static str {
        match self.unit {
            Unit::TenMinutes => "10 MIN FROM",
            Unit::Hour => "HOUR",
            Unit::Days(1) => "DAY",
            Unit::Days(7) => "WEEK FROM",
            Unit::Days(_) => "FROM",
        }
    }
}

/// Some dozens at most, for a time of up to a year; never more than a history gives.
fn unit_for(length: Duration) -> Unit {
    match length {
        length if length <= 3 * HOUR => Unit::TenMinutes,
        length if length <= 2 * DAY => Unit::Hour,
        length if length <= 62 * DAY => Unit::Days(1),
        length if length <= PERIODS * 7 * DAY => Unit::Days(7),
        length => {
            let days = length
                .as_secs()
                .div_ceil(u64::from(PERIODS) * DAY.as_secs());
            Unit::Days(i64::try_from(days).unwrap_or(i64::MAX))
        }
    }
}

fn beginning(zone: &Zone, unit: Unit, at: Timestamp) -> Timestamp {
    let floor = |length: Duration| {
        let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(at.as_micros().div_euclid(length).saturating_mul(length))
    };
    match unit {
        Unit::TenMinutes => floor(10 * MINUTE),
        Unit::Hour => floor(HOUR),
        Unit::Days(_) => zone.days_after(at, 0),
    }
}

#[cfg(test)]
mod tests;
