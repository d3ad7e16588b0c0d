//! Registrations: plain data that describes a listener or a job. [`crate::runnable`] adds the handler;
//! [`crate::ports::RegistrationStore`] stores registrations.

use std::sync::Arc;
use std::time::Duration;

use crate::identity::{Entity, EntityKind, SourceTier};

/// The deadline of an execution unless its registration sets another.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The rule for a run that is due while an earlier one is still running.
///
/// ```
/// use executor_core::registration::Overlap;
///
/// assert_eq!(Overlap::Queued.as_str(), "queued");
/// assert_eq!(Overlap::ALL.len(), 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Skips the new run.
    Single,
    /// Cancels the running one, then starts.
    Restart,
    /// Runs them in order.
    Queued,
    /// Runs them in parallel.
    Parallel,
}

impl Overlap {
    /// Every rule.
    pub const ALL: [Self; 4] = [Self::Single, Self::Restart, Self::Queued, Self::Parallel];

    /// Returns its name in tables and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Restart => "restart",
            Self::Queued => "queued",
            Self::Parallel => "parallel",
        }
    }
}

/// The properties that listeners and jobs share.
///
/// ```
/// use std::time::Duration;
/// use executor_core::{SourceTier, registration::Details};
///
/// let details = Details {
///     timeout: Some(Duration::from_secs(5)),
///     ..Details::new(SourceTier::App)
/// };
/// assert_eq!(details.overlap, None); // the tier's default
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The app instance's own name, if it has one.
    pub instance_name: Option<String>,
    /// The author of the handler.
    pub source_tier: SourceTier,
    /// The deadline of each execution; `None` for none.
    pub timeout: Option<Duration>,
    /// A description for people.
    pub description: Option<String>,
    /// A description of its guard, for people.
    pub guard_description: Option<String>,
    /// The place in the source that registered it, `file:line`.
    pub source_location: Option<String>,
    /// The source of the registration: `code`, `configuration`, …
    pub registration_source: Option<String>,
    /// The thing it is about, such as a device.
    pub entity: Option<String>,
    /// The overlap rule; `None` for the tier's default.
    pub overlap: Option<Overlap>,
    /// The limit of the overlap rule: how many may wait under `queued`, or run under `parallel`.
    pub overlap_limit: Option<u32>,
    /// The priority: when an event is published, listeners with a higher one come first.
    pub priority: i32,
    /// Whether it ends after its first run. Kept for the history; the program must enforce it.
    pub once: bool,
    /// The program that it runs, if it is a command line.
    pub program: Option<String>,
    /// Settings on which only the program acts, as JSON. Kept and shown.
    pub annotations: Option<String>,
}

impl Details {
    /// Creates details with only the tier and the default deadline set.
    pub const fn new(source_tier: SourceTier) -> Self {
        Self {
            instance_name: None,
            source_tier,
            timeout: Some(DEFAULT_TIMEOUT),
            description: None,
            guard_description: None,
            source_location: None,
            registration_source: None,
            entity: None,
            overlap: None,
            overlap_limit: None,
            priority: 0,
            once: false,
            program: None,
            annotations: None,
        }
    }

    /// Returns the overlap rule that applies: the one that is set, or else [`Overlap::Single`] in the app tier and
    /// [`Overlap::Parallel`] in the framework tier.
    pub fn effective_overlap(&self) -> Overlap {
        let by_tier = match self.source_tier {
            SourceTier::App => Overlap::Single,
            SourceTier::Framework => Overlap::Parallel,
        };
        self.overlap.unwrap_or(by_tier)
    }
}

/// A listener or a job as the store keeps it.
///
/// ```
/// use executor_core::registration::{Details, Registration};
/// use executor_core::{Entity, SourceTier};
///
/// let hall = Entity::listener("lights", 0, "hall", "motion.hall");
/// let registration = Registration::new(hall, Details::new(SourceTier::App));
/// assert!(registration.job.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The identity of the listener or job.
    pub entity: Arc<Entity>,
    /// The other properties that listeners and jobs share; registering again replaces them all.
    pub details: Details,
    /// The properties that only jobs have; `None` for a listener.
    pub job: Option<JobDetails>,
}

impl Registration {
    /// Creates the registration of a listener, or of a job that runs only on demand.
    pub fn new(entity: impl Into<Arc<Entity>>, details: Details) -> Self {
        let entity = entity.into();
        let job = (entity.kind == EntityKind::Job).then(JobDetails::default);
        Self {
            entity,
            details,
            job,
        }
    }

    /// Sets the details of a job.
    #[must_use]
    pub fn with_job(self, job: JobDetails) -> Self {
        Self {
            job: Some(job),
            ..self
        }
    }
}

/// The properties that only jobs have.
///
/// ```
/// use executor_core::registration::JobDetails;
///
/// let job = JobDetails { group: Some("nightly".into()), ..JobDetails::default() };
/// assert_eq!(job.schedule.trigger_type, "manual");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobDetails {
    /// The name of the code that runs.
    pub handler_name: Option<String>,
    /// A description of its schedule.
    pub schedule: ScheduleText,
    /// The group; jobs of one group are shown and cancelled together.
    pub group: Option<String>,
    /// Its arguments as JSON, if the author asked for them to be recorded.
    pub arguments_json: Option<String>,
}

/// A description of a job's schedule, for people and tables. The service holds the schedule itself.
///
/// ```
/// use executor_core::registration::ScheduleText;
///
/// let every_hour = ScheduleText {
///     trigger_type: "cron".into(),
///     label: Some("every hour".into()),
///     detail: Some("0 * * * *".into()),
/// };
/// assert_ne!(every_hour, ScheduleText::manual());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleText {
    /// `manual`, `interval`, `cron`, `once`, `after`.
    pub trigger_type: String,
    /// A short form, such as `every 10s`.
    pub label: Option<String>,
    /// The full form, such as a cron line.
    pub detail: Option<String>,
}

impl ScheduleText {
    /// Describes a job that runs only on demand.
    pub fn manual() -> Self {
        Self {
            trigger_type: "manual".into(),
            label: None,
            detail: None,
        }
    }
}

impl Default for ScheduleText {
    fn default() -> Self {
        Self::manual()
    }
}
