//! Schedules as the history keeps them, so that a later process knows what was planned.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::ports::SchedulePlan;

use super::cron::Cron;
use super::{Kind, Missed, Schedule, in_utc, in_words};

impl Schedule {
    /// Returns what the history keeps of it.
    pub(crate) fn plan(&self) -> SchedulePlan {
        let (text, time_zone) = match &self.kind {
            Kind::Every(interval) => (format!("every {}", in_words(*interval)), None),
            Kind::After(delay) => (format!("after {}", in_words(*delay)), None),
            Kind::Once(at) => (format!("once {}", in_utc(*at)), None),
            Kind::Cron(cron) => {
                let (line, zone) = cron.parts();
                (format!("cron {line}"), Some(zone.to_owned()))
            }
        };
        SchedulePlan {
            text,
            time_zone,
            jitter: self.jitter,
            missed: self.missed.kept(),
            is_persistent: self.is_persistent,
        }
    }

    /// Reads what the history keeps; `None` if this version does not understand it.
    pub(crate) fn of_plan(plan: &SchedulePlan) -> Option<Self> {
        let (kind, rule) = plan.text.split_once(' ')?;
        let kind = match kind {
            "every" => Kind::Every(duration_of(rule)?),
            "after" => Kind::After(duration_of(rule)?),
            "once" => Kind::Once(timestamp_of(rule)?),
            "cron" => {
                let zone = plan.time_zone.as_deref()?;
                Kind::Cron(Box::new(Cron::parse(rule, zone).ok()?))
            }
            _ => return None,
        };
        let schedule = Self::of(kind).jitter(plan.jitter);
        let schedule = schedule.missed(Missed::of_kept(&plan.missed)?);
        Some(if plan.is_persistent {
            schedule.persistent()
        } else {
            schedule
        })
    }
}

impl Missed {
    fn kept(self) -> String {
        match self {
            Self::Skip => "skip".into(),
            Self::RunOnce => "run_once".into(),
            Self::RunAll { at_most } => format!("run_all {at_most}"),
        }
    }

    fn of_kept(text: &str) -> Option<Self> {
        match text {
            "skip" => Some(Self::Skip),
            "run_once" => Some(Self::RunOnce),
            _ => {
                let at_most = text.strip_prefix("run_all ")?.parse().ok()?;
                Some(Self::RunAll { at_most })
            }
        }
    }
}

fn duration_of(text: &str) -> Option<Duration> {
    let signed: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(signed).ok()
}

fn timestamp_of(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(instant.as_microsecond()))
}
