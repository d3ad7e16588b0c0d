//! Executions as metrics count them: by app and status, with their durations.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use executor_core::Status;
use executor_core::ports::ExecutionEnd;
use metrics::{counter, histogram};

/// Buckets per doubling of a duration: a published duration is within 3 % of the true one.
const PER_DOUBLING: f64 = 16.0;

/// What has ended since the last publication. Recording each duration at once would have every execution wait for
/// the program's recorder.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    apps: HashMap<String, OfApp>,
}

#[derive(Debug, Default)]
struct OfApp {
    by_status: [u64; Status::ALL.len()],
    /// Counts by bucket; `None` holds durations of less than a microsecond.
    durations: BTreeMap<Option<u16>, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, end: &ExecutionEnd<'_>) {
        let app = &end.start.subject.entity.app_key;
        let of_app = match self.apps.get_mut(app) {
            Some(of_app) => of_app,
            None => self.apps.entry(app.clone()).or_default(),
        };
        of_app.by_status[usize::from(end.status.code())] += 1;
        // A skipped handler did not run, and nobody knows how long an interrupted one ran.
        if !matches!(end.status, Status::Skipped | Status::Interrupted) {
            *of_app.durations.entry(bucket_of(end.duration)).or_default() += 1;
        }
    }

    /// Hands everything to the program's recorder.
    pub(crate) fn publish(self) {
        for (app, of_app) in self.apps {
            for status in Status::ALL {
                let count = of_app.by_status[usize::from(status.code())];
                if count > 0 {
                    let labels = [("app", app.clone()), ("status", status.as_str().to_owned())];
                    counter!("executor_executions_total", &labels).increment(count);
                }
            }
            let durations = histogram!("executor_execution_duration_seconds", "app" => app);
            for (bucket, count) in of_app.durations {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                durations.record_many(seconds_of(bucket), count);
            }
        }
    }
}

fn bucket_of(duration: Duration) -> Option<u16> {
    let micros = duration.as_micros();
    (micros > 0).then(|| ((micros as f64).log2() * PER_DOUBLING).round() as u16)
}

fn seconds_of(bucket: Option<u16>) -> f64 {
    bucket.map_or(0.0, |bucket| {
        (f64::from(bucket) / PER_DOUBLING).exp2() / 1e6
    })
}

#[cfg(test)]
mod tests;
