//! Hours and days (UTC) as tables number them, in microseconds since 1970.

pub(crate) const HOUR_US: i64 = 3_600_000_000;
pub(crate) const DAY_US: i64 = 24 * HOUR_US;

/// Returns the beginning of the hour of a time.
pub(crate) const fn hour_of(us: i64) -> i64 {
    us.div_euclid(HOUR_US).saturating_mul(HOUR_US)
}

/// Returns the number of the day of a time, counted from 1970.
#[cfg(feature = "postgres")]
pub(crate) const fn day_of(us: i64) -> i64 {
    us.div_euclid(DAY_US)
}
