//! One execution, from its first poll to its record.
//!
//! The record is owed from the beginning and offered in exactly two places: [`Execution::end`], if the handler ended
//! by itself, by deadline or by token, and `Drop`, if somebody dropped the future that runs it.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Span, info_span};

use crate::command::{Command, ExecuteJob};
use crate::context::{self, DueTime, Traits};
use crate::error_handler::HandlerFailure;
use crate::event::EVENT_ID_MAX_CHARS;
use crate::failure::{
    ARGUMENTS_MAX_CHARS, Failure, MESSAGE_MAX_CHARS, is_storable, storable, storable_shared,
};
use crate::guard::Guard;
use crate::handler::BorrowingFuture;
use crate::identity::{EntityKind, ExecutionId, RowId};
use crate::lines::buffer::LineBuffer;
use crate::lines::{LinePolicy, Lines};
use crate::outcome::{ExecutionResult, Outcome, Status};
use crate::overlap::{self, Admission, Entry};
use crate::panics;
use crate::ports::{ExecutionEnd, ExecutionStart, Ticket, TriggerRef};
use crate::record::{RecordFlags, SubjectRef, Trigger, TriggerMode};
use crate::redact::{Redactor, TextKind};
use crate::run::poll::{Ending, Limits, Stop, Stopwatch, Watched};
use crate::run::verdict::{Terms, Times, Verdict, judge};
use crate::time::{Moment, Timestamp};

use super::aftermath::HeldPlace;
use super::runner::{Ended, Runner};

/// An execution that has begun.
pub(super) struct Execution<'f, R: Deref<Target = Runner>> {
    runner: R,
    begun: Moment,
    /// Its record is still owed.
    is_owed: bool,
    /// The ticket that the sink gave out at its beginning.
    ticket: Ticket,
    /// The parts of its trigger and topic that may be kept, if that is not all of them. Boxed, because there seldom
    /// are any.
    kept: Option<Box<Kept>>,
    /// Its event's topic differs from its listener's.
    has_own_topic: bool,
    /// Its place in line under its overlap rule, while it waits there.
    in_line: Option<overlap::Ticket>,
    /// It has a place inside, which it must give back.
    is_inside: bool,
    watched: Watched<'f>,
}

// Functions are inlined here if their result would otherwise be moved twice.
impl<'f, R: Deref<Target = Runner>> Execution<'f, R> {
    /// `future` is run in place of what the command's handler would return.
    #[inline]
    pub(super) fn begin(runner: R, command: Command, future: Option<BorrowingFuture<'f>>) -> Self {
        let begun = runner.clock.now();
        let id = ExecutionId::new(begun.wall);
        let span = span_of(&command, id);
        let stopwatch = runner.options.slow_poll.map(|_| Stopwatch::default());
        let traits = Traits {
            generation: context::traits().generation,
            records_backtraces: runner.options.record_backtraces,
            lines: command.hooks().lines,
            runner: runner.number,
            due_at: command.due_at().and_then(DueTime::of),
        };
        let own_topic = command.own_topic();
        Self {
            begun,
            is_owed: true,
            ticket: Ticket::NONE,
            kept: Kept::of(&command, own_topic, &runner.options.redactor),
            has_own_topic: own_topic.is_some(),
            in_line: None,
            is_inside: false,
            watched: Watched::new(command, id, span, stopwatch, traits, future),
            runner,
        }
    }

    pub(super) fn runner(&self) -> &Runner {
        &self.runner
    }

    pub(super) const fn id(&self) -> ExecutionId {
        self.watched.id()
    }

    pub(super) const fn begun_at(&self) -> Timestamp {
        self.begun.wall
    }

    /// Restarts its time: the time until now is not part of it.
    pub(super) fn begin_anew(&mut self) {
        self.begun = self.runner.clock.now();
    }

    /// Asks the guard and takes a place under the overlap rule, in line if necessary. The guard's time is not part of
    /// the handler's own run, which begins later.
    pub(super) fn enter(&mut self) -> Result<(), Ending> {
        if let Some(guard) = guard_of(self.watched.command()) {
            if let Some(refusal) = self.watched.ask(&guard) {
                return Err(refusal);
            }
            self.begin_anew();
        }
        match self.watched.command().gate().enter() {
            Admission::Begin(entry) => self.is_inside(entry),
            Admission::Skip(reason) => return Err(Ending::Skipped(reason)),
            Admission::Wait(ticket) => self.in_line = Some(ticket),
        }
        Ok(())
    }

    fn is_inside(&mut self, entry: Entry) {
        self.in_line = None;
        self.is_inside = true;
        self.watched.may_be_ended_by(entry.cancel);
    }

    /// Runs the handler, once its turn has come.
    pub(super) async fn work(&mut self, stop: Stop<'_>) -> Ending {
        if let Err(refusal) = self.turn(stop).await {
            return refusal;
        }
        let limits = self.start(stop);
        self.watched.wait(limits).await
    }

    /// Waits for its turn, if it is in line.
    async fn turn(&mut self, stop: Stop<'_>) -> Result<(), Ending> {
        let Some(ticket) = &mut self.in_line else {
            return Ok(());
        };
        let turn = self.watched.command().gate().turn(ticket);
        let entry = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Ending::Cancelled),
            turn = turn => turn.map_err(Ending::Skipped)?,
        };
        self.begin_anew();
        self.is_inside(entry);
        Ok(())
    }

    /// Begins the handler's own run.
    #[inline]
    fn start<'l>(&mut self, stop: Stop<'l>) -> Limits<'l> {
        self.ticket = self.runner.sink.begin(&self.told());
        // A deadline that the clock cannot represent counts as none.
        let timeout = self.watched.command().effective_timeout();
        Limits {
            deadline: timeout.and_then(|timeout| self.begun.monotonic.checked_add(timeout)),
            stop,
            grace: self.runner.options.cancel_grace,
        }
    }

    /// Describes it for the sink, first when the handler begins and again at its end.
    #[inline]
    fn told(&self) -> ExecutionStart<'_> {
        let command = self.watched.command();
        let kept = self.kept.as_deref();
        let trigger = kept.and_then(|kept| kept.trigger.as_ref());
        let topic = || command.event().map(|event| &event.topic);
        ExecutionStart {
            execution_id: self.watched.id(),
            subject: command.subject_ref(),
            source_tier: command.source_tier(),
            started_at: self.begun.wall,
            trigger: trigger.map_or_else(|| command.trigger_ref(), TriggerRef::from),
            topic: kept
                .and_then(|kept| kept.topic.as_ref())
                .or_else(|| topic().filter(|_| self.has_own_topic)),
            due_at: command.due_at(),
        }
    }

    /// Ends an execution without running its handler.
    #[cold]
    pub(super) fn refuse(&mut self, refusal: Ending) -> Box<Ended> {
        Box::new(self.end(refusal))
    }

    #[inline(always)]
    pub(super) fn end(&mut self, ending: Ending) -> Ended {
        let stopwatch = self.watched.stopwatch();
        let duration = self.duration_until(&ending, stopwatch);
        let times = Times {
            duration,
            real: stopwatch.total,
            longest_poll: stopwatch.longest,
        };
        let in_drop = self.watched.discard();
        let mut verdict = judge(ending, in_drop, &self.terms(), &times);
        // Where time is paused only the machine's clock knows how long a thread was blocked.
        let duration = if verdict.flags.overran {
            duration.max(times.real)
        } else {
            duration
        };
        verdict.flags.thread_leaked = self.watched.leaked().is_some();
        // Offer the record first: a log subscriber may panic.
        self.offer(&verdict.outcome, verdict.flags, duration);
        self.say(&verdict, duration);
        let failure = self.failure(&verdict);
        Ended {
            result: ExecutionResult {
                execution_id: self.watched.id(),
                outcome: verdict.outcome,
                started_at: self.begun.wall,
                duration,
            },
            failure,
        }
    }

    fn terms(&self) -> Terms<'_> {
        let command = self.watched.command();
        Terms {
            tier: command.source_tier(),
            timeout: command.effective_timeout(),
            slow_poll: self.runner.options.slow_poll,
            got_no_thread: self.watched.got_no_thread(),
            redactor: &self.runner.options.redactor,
        }
    }

    fn say(&self, verdict: &Verdict, duration: Duration) {
        let now = self.begun.monotonic + duration;
        let Self {
            runner, watched, ..
        } = self;
        runner
            .log
            .ended(watched.id(), watched.command(), verdict, duration, now);
        self.say_what_leaked();
    }

    fn say_what_leaked(&self) {
        if let Some(thread) = self.watched.leaked() {
            let (id, command) = (self.watched.id(), self.watched.command());
            self.runner.log.leaked(id, command, thread);
        }
    }

    /// Boxed, because there seldom is one and every execution moves an [`Ended`].
    fn failure(&self, verdict: &Verdict) -> Option<Box<HandlerFailure>> {
        let full = verdict.full.as_ref()?;
        let command = self.watched.command();
        let job = command.registration().job.as_ref();
        Some(Box::new(HandlerFailure {
            execution_id: self.watched.id(),
            status: verdict.outcome.status(),
            error: verdict.error.clone(),
            failure: Arc::clone(full),
            subject: command.subject(),
            event: command.event().cloned(),
            group: job.and_then(|job| job.group.clone()),
            arguments_json: job.and_then(|job| job.arguments_json.clone()),
            error_handler: command.hooks().error_handler.clone(),
            generation: self.watched.generation(),
        }))
    }

    fn duration_until(&self, ending: &Ending, stopwatch: Stopwatch) -> Duration {
        if matches!(ending, Ending::Skipped(_)) {
            return Duration::ZERO;
        }
        // Reading a clock costs as much as all the bookkeeping around it.
        let measured = stopwatch.without_waiting(ending);
        let measured = measured.filter(|_| self.runner.clock.is_machine_time());
        measured.unwrap_or_else(|| self.duration())
    }

    /// Returns the time since it began; an execution that ends in line has not begun.
    fn duration(&self) -> Duration {
        if self.in_line.is_some() {
            return Duration::ZERO;
        }
        let now = self.runner.clock.monotonic();
        now.saturating_duration_since(self.begun.monotonic)
    }

    /// Offers the record that is owed; a second call does nothing.
    fn offer(&mut self, outcome: &Outcome, flags: RecordFlags, duration: Duration) {
        if !std::mem::take(&mut self.is_owed) {
            return;
        }
        let said = self.said(outcome.status());
        let (skipped, arguments) = (skipped(outcome), self.arguments());
        let end = ExecutionEnd {
            start: self.told(),
            status: outcome.status(),
            duration,
            failure: skipped.as_ref().or_else(|| outcome.failure()),
            flags,
            exit_code: self.watched.exit_code(),
            lines: said.as_ref().and_then(|said| said.kept.as_ref()),
            generation: self.watched.command().generation(),
            retry_count: 0,
            attempt_number: 1,
            arguments_json: arguments.as_deref(),
        };
        self.runner.sink.offer(&end, self.ticket);
        if let Some(said) = &said
            && !said.flushed.is_empty()
        {
            self.runner.sink.unsaid(&said.flushed);
        }
        // Only now may the next run begin, so that records are offered in order.
        self.give_place_back();
    }

    /// Returns what it said. Most say nothing.
    #[inline]
    fn said(&mut self, status: Status) -> Option<Box<LastWords>> {
        let lines = self.watched.take_lines()?;
        Some(self.finish_lines(lines, status))
    }

    #[cold]
    fn finish_lines(&self, mut lines: LineBuffer, status: Status) -> Box<LastWords> {
        let policy = self.watched.command().hooks().lines;
        let redactor = &self.runner.options.redactor;
        let room = match status {
            Status::Success | Status::Skipped => LinePolicy::room_of_success,
            _ => LinePolicy::room_of_failure,
        };
        let flushed = lines.take_tickets();
        let kept = lines.finish(self.begun.monotonic, policy, room, redactor);
        Box::new(LastWords {
            kept: kept.map(Arc::new),
            flushed,
        })
    }

    fn give_place_back(&mut self) {
        if std::mem::take(&mut self.is_inside) {
            if self.watched.has_programs() {
                self.leave_programs();
            } else {
                self.watched.command().gate().leave();
            }
        } else if let Some(ticket) = self.in_line.take() {
            self.watched.command().gate().give_up(ticket);
        }
    }

    /// Keeps the place until the programs that still run have ended.
    #[cold]
    fn leave_programs(&mut self) {
        let programs = self.watched.take_programs();
        let place = HeldPlace::new(self.watched.command().clone());
        self.runner.aftermath.add(programs, place);
    }

    /// Returns a job's arguments, if its author asked for them to be recorded.
    fn arguments(&self) -> Option<Cow<'_, str>> {
        let job = self.watched.command().registration().job.as_ref()?;
        let arguments = job.arguments_json.as_deref()?;
        let redactor = &self.runner.options.redactor;
        let arguments = redactor.apply(TextKind::Arguments, arguments);
        Some(if is_storable(&arguments, ARGUMENTS_MAX_CHARS) {
            arguments
        } else {
            storable(&arguments, ARGUMENTS_MAX_CHARS).into()
        })
    }
}

impl<R: Deref<Target = Runner>> Drop for Execution<'_, R> {
    /// Still owes a record only if the future of [`Runner::run`] is dropped half-way. Drops the
    /// handler's future first, so that its destructors still belong to the execution and to its
    /// duration.
    fn drop(&mut self) {
        if self.is_owed {
            if let Some(caught) = self.watched.discard() {
                panics::drop_quietly(caught.payload);
            }
            let flags = RecordFlags {
                thread_leaked: self.watched.leaked().is_some(),
                ..RecordFlags::default()
            };
            self.offer(&Outcome::Cancelled, flags, self.duration());
            // A log subscriber may panic, and this thread may already be unwinding.
            panics::drop_quietly(panics::catch(|| self.say_what_leaked()).err());
        }
    }
}

/// What an execution said, once it has ended.
struct LastWords {
    /// As far as its policy keeps it.
    kept: Option<Arc<Lines>>,
    /// What the sink was given of it before.
    flushed: Vec<Ticket>,
}

/// Returns the guard to ask before this run. A job that runs on request skips its guard.
fn guard_of(command: &Command) -> Option<Guard> {
    match command {
        Command::ExecuteJob(ExecuteJob { trigger_mode, .. })
            if *trigger_mode == TriggerMode::Manual =>
        {
            None
        }
        command => command.hooks().guard.clone(),
    }
}

/// Returns the failure with which a record says why the handler did not run.
fn skipped(outcome: &Outcome) -> Option<Arc<Failure>> {
    match outcome {
        Outcome::Skipped(reason) => Some(Arc::new(Failure::skipped(reason))),
        _ => None,
    }
}

/// The parts of a trigger and of an event's own topic that may be kept; `None` if that is all of it.
struct Kept {
    trigger: Option<Trigger>,
    topic: Option<Arc<str>>,
}

impl Kept {
    /// Decides without making anything for the many of which all is kept.
    #[inline]
    fn of(
        command: &Command,
        own_topic: Option<&Arc<str>>,
        redactor: &Redactor,
    ) -> Option<Box<Self>> {
        let trigger = command.trigger_ref();
        let is_storable_topic = |topic: &Arc<str>| is_storable(topic, MESSAGE_MAX_CHARS);
        if redactor.keeps_all()
            && is_storable_trigger(&trigger)
            && own_topic.is_none_or(is_storable_topic)
        {
            return None;
        }
        Self::part_of(trigger, own_topic, redactor)
    }

    #[cold]
    fn part_of(
        trigger: TriggerRef<'_>,
        own_topic: Option<&Arc<str>>,
        redactor: &Redactor,
    ) -> Option<Box<Self>> {
        let keep = |kind, text: &Arc<str>, max_chars| {
            storable_shared(redactor.apply_shared(kind, Arc::clone(text)), max_chars)
        };
        let trigger = match trigger {
            TriggerRef::Event { id, origin } => Some(Trigger::Event {
                id: id.map(|id| keep(TextKind::TriggerId, id, EVENT_ID_MAX_CHARS)),
                origin: keep(TextKind::TriggerOrigin, origin, MESSAGE_MAX_CHARS),
            }),
            _ => None,
        };
        let topic = own_topic.map(|topic| keep(TextKind::Topic, topic, MESSAGE_MAX_CHARS));
        let is_all = trigger.is_none() && topic.is_none();
        (!is_all).then(|| Box::new(Self { trigger, topic }))
    }
}

/// Returns whether a trigger's texts can be stored as they are.
fn is_storable_trigger(trigger: &TriggerRef<'_>) -> bool {
    let TriggerRef::Event { id, origin } = trigger else {
        return true;
    };
    is_storable(origin, MESSAGE_MAX_CHARS)
        && id.is_none_or(|id| is_storable(id, EVENT_ID_MAX_CHARS))
}

fn span_of(command: &Command, id: ExecutionId) -> Span {
    let SubjectRef { entity, row } = command.subject_ref();
    let row_of = |kind| row.filter(|_| entity.kind == kind).map(RowId::get);
    info_span!(
        "execution",
        execution.id = %id,
        execution.kind = entity.kind.as_str(),
        app.key = %entity.app_key,
        app.instance = entity.instance,
        app.instance_name = command.details().instance_name,
        listener.id = row_of(EntityKind::Listener),
        job.id = row_of(EntityKind::Job),
        entity.name = %entity.name,
        entity.topic = %entity.topic,
    )
}
