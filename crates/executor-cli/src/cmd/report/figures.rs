//! What the reports have in common: which summaries, and how figures and times are shown.

use std::time::Duration;

use command_executor::{Stats, Summary, Timestamp, Window};

use crate::args::verbs::{FAILED, ReportArgs};
use crate::cmd::looking::Looking;
use crate::exit::Failure;
use crate::output::columns::Text;
use crate::output::shown;

pub(super) async fn summaries(
    looking: &Looking,
    args: &ReportArgs,
    window: Window,
) -> Result<Vec<Summary>, Failure> {
    let mut summaries = looking.history.summaries(window).await?;
    summaries.retain(|it| args.is_about(&it.entity));
    Ok(summaries)
}

pub(super) fn failed(stats: &Stats) -> u64 {
    FAILED.iter().map(|status| stats.count(*status)).sum()
}

/// A duration of a column; nothing ran if it is zero.
pub(super) fn took(took: Duration) -> Text {
    Text::number(match took.is_zero() {
        true => "-".to_owned(),
        false => shown::took(took),
    })
}

/// The time from here to there, in words.
pub(super) fn span_of(looking: &Looking, window: &Window) -> String {
    let at = |at: Timestamp| looking.zone.time(at);
    match (window.from, window.to) {
        (None, None) => "all".to_owned(),
        (Some(from), None) => format!("since {}", at(from)),
        (None, Some(to)) => format!("until {}", at(to)),
        (Some(from), Some(to)) => format!("{} to {}", at(from), at(to)),
    }
}
