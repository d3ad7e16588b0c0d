//! Reads a job's schedule from its keys. Each mistake in them is one sentence with its place.

use command_executor::{Missed, Schedule, ScheduleError};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use toml::Spanned;

use crate::config::duration::Span;
use crate::config::problems::Mistake;
use crate::config::{JobConfig, MissedRule};

/// The default limit of `run_all`: the most missed runs that it makes up for.
const MISSED_AT_MOST: u32 = 10;

impl JobConfig {
    /// When it runs.
    pub(crate) fn schedule(&self) -> Result<Schedule, Mistake> {
        let mut schedule = self.kind()?.missed(self.missed()?);
        if let Some(Span(jitter)) = self.jitter {
            schedule = schedule.jitter(jitter);
        }
        if self.is_persistent()? {
            schedule = schedule.persistent();
        }
        Ok(schedule)
    }

    fn is_persistent(&self) -> Result<bool, Mistake> {
        match &self.persistent {
            Some(yes) if *yes.get_ref() && self.cron.is_none() && self.at.is_none() => {
                let what = "`persistent` applies only to `cron` and `at`; elapsed time starts over at each start";
                Err((yes.span(), what.into()))
            }
            persistent => Ok(persistent.as_ref().is_some_and(|yes| *yes.get_ref())),
        }
    }

    fn kind(&self) -> Result<Schedule, Mistake> {
        self.refuse_two_kinds()?;
        if let Some(line) = &self.cron {
            return self.cron(line);
        }
        if let Some(at) = &self.at {
            return self.at(at);
        }
        if let Some(zone) = &self.time_zone {
            let what =
                "`time_zone` applies only to `cron` and `at`; elapsed time is the same everywhere";
            return Err((zone.span(), what.into()));
        }
        match (&self.every, &self.after) {
            (Some(every), _) => Ok(Schedule::every(every.get_ref().0)),
            (None, Some(after)) => Ok(Schedule::after(after.get_ref().0)),
            (None, None) => {
                let what =
                    "this job has no schedule: write one of `every`, `cron`, `at` and `after`";
                Err((self.name.span(), what.into()))
            }
        }
    }

    fn refuse_two_kinds(&self) -> Result<(), Mistake> {
        let kinds = [
            ("every", self.every.as_ref().map(Spanned::span)),
            ("cron", self.cron.as_ref().map(Spanned::span)),
            ("at", self.at.as_ref().map(Spanned::span)),
            ("after", self.after.as_ref().map(Spanned::span)),
        ];
        let mut given = kinds
            .into_iter()
            .filter_map(|(key, span)| Some((key, span?)));
        match (given.next(), given.next()) {
            (Some((first, _)), Some((second, span))) => {
                let what = format!(
                    "both `{first}` and `{second}` are set: a job has one schedule; remove one"
                );
                Err((span, what))
            }
            _ => Ok(()),
        }
    }

    fn cron(&self, line: &Spanned<String>) -> Result<Schedule, Mistake> {
        let Some(zone) = &self.time_zone else {
            let what = "`cron` needs a `time_zone`, such as \"Europe/Berlin\" or \"UTC\"";
            return Err((line.span(), what.into()));
        };
        Schedule::cron(line.get_ref(), zone.get_ref()).map_err(|error| {
            let place = match &error {
                ScheduleError::TimeZone { .. } => zone.span(),
                _ => line.span(),
            };
            (place, error.to_string())
        })
    }

    /// Parses a time with an offset, or a wall-clock time in the time zone.
    fn at(&self, at: &Spanned<String>) -> Result<Schedule, Mistake> {
        let text = at.get_ref();
        let instant = match (&self.time_zone, text.parse::<Timestamp>()) {
            (None, Ok(instant)) => instant,
            (Some(zone), Ok(_)) => {
                let what = format!("`{text}` has an offset already: leave the time zone out");
                return Err((zone.span(), what));
            }
            (zone, Err(_)) => in_zone(at, zone.as_ref())?,
        };
        let since_epoch = instant.duration_since(Timestamp::UNIX_EPOCH);
        let micros = SignedDuration::as_micros(&since_epoch);
        let micros = i64::try_from(micros).map_err(|_| out_of_range(at))?;
        Ok(Schedule::once(
            command_executor::time::Timestamp::from_micros(micros),
        ))
    }

    fn missed(&self) -> Result<Missed, Mistake> {
        let rule = self.missed.unwrap_or(MissedRule::Skip);
        match (rule, &self.missed_limit) {
            (MissedRule::RunAll, limit) => {
                let limit = limit
                    .as_ref()
                    .map_or(MISSED_AT_MOST, |limit| limit.get_ref().0.into());
                Ok(Missed::RunAll { at_most: limit })
            }
            (_, Some(limit)) => {
                let what = "`missed_limit` applies only to `missed = \"run_all\"`";
                Err((limit.span(), what.into()))
            }
            (MissedRule::Skip, None) => Ok(Missed::Skip),
            (MissedRule::RunOnce, None) => Ok(Missed::RunOnce),
        }
    }
}

/// Reads a wall-clock time.
fn in_zone(at: &Spanned<String>, zone: Option<&Spanned<String>>) -> Result<Timestamp, Mistake> {
    let text = at.get_ref();
    let refuse = |what: String| (at.span(), what);
    let civil: DateTime = text.parse().map_err(|_| {
        refuse(format!(
            "`{text}` is not a time: write it like 2026-12-24T18:00:00"
        ))
    })?;
    let Some(zone) = zone else {
        let what = format!("`{text}` needs a `time_zone`, such as \"Europe/Berlin\"");
        return Err(refuse(what));
    };
    let found = match zone.get_ref().as_str() {
        "local" => TimeZone::system(),
        name => TimeZone::get(name).map_err(|_| {
            let name = name.to_owned();
            (zone.span(), ScheduleError::TimeZone { name }.to_string())
        })?,
    };
    let ambiguous = found.to_ambiguous_timestamp(civil);
    ambiguous.compatible().map_err(|_| out_of_range(at))
}

fn out_of_range(at: &Spanned<String>) -> Mistake {
    (at.span(), format!("`{}` is out of range", at.get_ref()))
}
