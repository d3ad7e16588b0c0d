//! Decides what the history says: whether it is complete and, if not, what is missing; why something ran or did not
//! run; which failures are of one kind. Decisions are pure functions of what was read, which comes through the port
//! alone.

mod alive;

mod findings;

mod audit;

mod explanation;

mod facts;

mod explain;

mod groups;

mod due_times;

mod planned;

mod timers;

mod completeness;

pub use alive::{is_alive, seems_alive};
pub use audit::audit;
pub use completeness::{Completeness, completeness};
pub use due_times::{DueFate, DueTime, due_times};
pub use explain::explain;
pub use explanation::{Doubt, Explanation};
pub use facts::{Facts, Question};
pub use findings::{Audit, Cause, Hole, NotKnown, NotLookedAt, Verdict};
pub use groups::{ErrorGroup, ErrorGroups, error_groups, shape};
pub use planned::next_planned;
pub use timers::{Timer, timers};
