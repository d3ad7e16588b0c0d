//! Errors in cron lines and time zones, with their place and what to write instead.

use thiserror::Error;

/// The reason why a schedule is invalid.
///
/// ```
/// use executor_service::{Schedule, ScheduleError};
///
/// let error = Schedule::cron("0 7 * *", "UTC").unwrap_err();
/// assert!(matches!(error, ScheduleError::Fields { given: 4, .. }));
/// assert!(error.to_string().starts_with("`0 7 * *` has 4 fields"));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The cron line has too few or too many fields.
    #[error(
        "`{line}` has {given} fields: write minutes, hours, days of the month, months and days of the week, \
         such as `30 2 * * *`; seconds may come before them, years after all six"
    )]
    Fields {
        /// The line.
        line: String,
        /// How many fields it has.
        given: usize,
    },
    /// The cron line is an unknown word after an `@`.
    #[error(
        "`{line}` is unknown: use @hourly, @daily (@midnight), @weekly, @monthly or @yearly (@annually)"
    )]
    Nickname {
        /// The line.
        line: String,
    },
    /// The cron line asks for a run at the start of the machine, which is not supported.
    #[error(
        "`@reboot` is not supported: use `after` to run a job once, a given time after the start of this program"
    )]
    Reboot,
    /// A field of the cron line is invalid.
    #[error("`{line}`: {name} `{field}` at column {column}: write {allowed}")]
    Field {
        /// The line.
        line: String,
        /// What the field is for, such as `hours`.
        name: &'static str,
        /// The field.
        field: String,
        /// The column in the line at which it begins, in characters, from 1.
        column: usize,
        /// The values that are allowed there.
        allowed: &'static str,
    },
    /// The times that the cron line names never come.
    #[error("`{line}` never comes: no such day exists")]
    Never {
        /// The line.
        line: String,
    },
    /// There is no such time zone.
    #[error(
        "`{name}` is not a time zone: use a name from the IANA database, such as Europe/Berlin, or UTC"
    )]
    TimeZone {
        /// What was given.
        name: String,
    },
}
