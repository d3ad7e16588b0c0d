//! The bounds of a window, as statements take them.

use executor_core::Timestamp;
use executor_core::ports::Window;
use uuid::Uuid;

/// The window's session, and its beginning and end in microseconds.
pub(crate) fn bounds(window: &Window) -> (Option<Uuid>, i64, i64) {
    let session = window.session.map(|id| *id.as_uuid());
    let from = window.from.map_or(i64::MIN, Timestamp::as_micros);
    let to = window.to.map_or(i64::MAX, Timestamp::as_micros);
    (session, from, to)
}
