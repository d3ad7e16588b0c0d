//! Reads what an explanation looks at.

use std::time::Duration;

use executor_core::ports::{
    Filter, Gap, History, HistoryError, InForce, LiveSession, MissedRuns, Order, PageRequest,
    Pause, RegistrationFilter, Scope, StoredExecution, StoredPrune, StoredRegistration,
    StoredSession, Window, all_pages,
};
use executor_core::{EntityKind, Timestamp};

/// How far from the requested time a run may lie, besides its schedule's jitter.
pub(super) const NEAR: Duration = Duration::from_secs(60);

/// The number of executions of one listener or job that are looked at.
const EXECUTIONS: u32 = 1_000;

/// A run may begin this long after it was due.
const QUEUED: Duration = Duration::from_secs(3_600);

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The app.
    pub app_key: String,
    /// The instance; `None` for any.
    pub instance: Option<u32>,
    /// The listener's or job's name.
    pub name: String,
    /// The time.
    pub at: Timestamp,
}

impl Question {
    /// Asks about any instance.
    pub fn new(app_key: impl Into<String>, name: impl Into<String>, at: Timestamp) -> Self {
        Self {
            app_key: app_key.into(),
            instance: None,
            name: name.into(),
            at,
        }
    }

    pub(super) fn is_about(&self, entity: &executor_core::Entity) -> bool {
        entity.app_key == self.app_key
            && entity.name == self.name
            && self
                .instance
                .is_none_or(|instance| instance == entity.instance)
    }
}

/// What the history knows about a listener or job around a given time.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Facts {
    /// Its registrations: of every instance, and of a listener and a job of the same name.
    pub registrations: Vec<StoredRegistration>,
    /// Its executions around that time.
    pub executions: Vec<StoredExecution>,
    /// Its schedules, the latest first.
    pub schedules: Vec<InForce>,
    /// What it missed around that time.
    pub missed: Vec<MissedRuns>,
    /// Pauses of it and of the executor around that time.
    pub pauses: Vec<Pause>,
    /// All sessions, the latest first.
    pub sessions: Vec<StoredSession>,
    /// Losses around that time.
    pub gaps: Vec<Gap>,
    /// Prunes of that time.
    pub prunes: Vec<StoredPrune>,
    /// The live state, if it was read: a waiting record may be the one that is missing.
    pub live: Vec<LiveSession>,
    /// True if there were more executions than were looked at.
    pub is_cut: bool,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// The history cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the query.
    pub async fn read(history: &dyn History, question: &Question) -> Result<Self, HistoryError> {
        let mut facts = Self::default();
        for kind in EntityKind::ALL {
            facts.read_registrations(history, question, kind).await?;
        }
        for id in facts
            .registrations
            .iter()
            .map(|it| it.id)
            .collect::<Vec<_>>()
        {
            let schedules = history.schedules(id).await?;
            facts.schedules.extend(schedules);
        }
        let jitter = facts.schedule_at(question.at).map(|it| it.plan.jitter);
        let near = NEAR + jitter.unwrap_or_default();
        facts.read_executions(history, question, near).await?;
        let window = Window {
            from: Some(question.at.saturating_sub(near)),
            to: Some(question.at.saturating_add(near)),
            session: None,
        };
        facts.read_the_rest(history, question, &window).await?;
        Ok(facts)
    }

    async fn read_registrations(
        &mut self,
        history: &dyn History,
        question: &Question,
        kind: EntityKind,
    ) -> Result<(), HistoryError> {
        let filter = RegistrationFilter {
            app_key: Some(question.app_key.clone()),
            ..RegistrationFilter::of(kind)
        };
        let all = all_pages(|page| history.registrations(filter.clone(), page)).await?;
        let its = all.into_iter();
        self.registrations
            .extend(its.filter(|it| question.is_about(&it.registration.entity)));
        Ok(())
    }

    async fn read_executions(
        &mut self,
        history: &dyn History,
        question: &Question,
        near: Duration,
    ) -> Result<(), HistoryError> {
        for id in self
            .registrations
            .iter()
            .map(|it| it.id)
            .collect::<Vec<_>>()
        {
            let filter = Filter {
                scope: Scope::Registration(id),
                from: Some(question.at.saturating_sub(near)),
                started_before: Some(question.at.saturating_add(near).saturating_add(QUEUED)),
                ..Filter::default()
            };
            let request = PageRequest {
                order: Order::OldestFirst,
                ..PageRequest::first(EXECUTIONS)
            };
            let page = history.executions(filter, request).await?;
            self.is_cut |= page.next.is_some();
            self.executions.extend(page.items);
        }
        Ok(())
    }

    async fn read_the_rest(
        &mut self,
        history: &dyn History,
        question: &Question,
        window: &Window,
    ) -> Result<(), HistoryError> {
        let missed = all_pages(|page| history.missed_runs(window.clone(), page)).await?;
        let its = missed.into_iter();
        self.missed = its.filter(|it| question.is_about(&it.entity)).collect();
        let pauses = all_pages(|page| history.pauses(window.clone(), page)).await?;
        let is_its = |it: &Pause| {
            it.entity
                .as_ref()
                .is_none_or(|entity| question.is_about(entity))
        };
        self.pauses = pauses.into_iter().filter(is_its).collect();
        self.gaps = all_pages(|page| history.gaps(window.clone(), page)).await?;
        self.prunes = all_pages(|page| history.prunes(window.clone(), page)).await?;
        // The one that was alive may have begun long before many that were not.
        self.sessions = all_pages(|page| history.sessions(page)).await?;
        Ok(())
    }

    pub(super) fn has_listener(&self) -> bool {
        let mut all = self.registrations.iter();
        all.any(|it| it.id.kind == EntityKind::Listener)
    }

    /// The schedule that was in force at a time.
    pub(super) fn schedule_at(&self, at: Timestamp) -> Option<&InForce> {
        let mut schedules = self.schedules.iter();
        schedules.find(|it| it.from <= at && it.until.is_none_or(|until| at < until))
    }

    /// The first execution that began after a time.
    pub(super) fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let begun = self.executions.iter().map(|it| it.record.started_at);
        begun.filter(|begun| *begun > at).min()
    }
}
