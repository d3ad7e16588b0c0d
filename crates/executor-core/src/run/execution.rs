//! One execution, from its first poll to its record.
//!
//! The record is owed from the beginning and paid in exactly two places: [`Execution::end`] when the
//! handler ended by itself, by deadline or by token, and `Drop` when somebody dropped the future that runs it.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Span, info_span};

use crate::command::{Command, ExecuteJob};
use crate::context::{self, Traits};
use crate::error_handler::HandlerFailure;
use crate::event::EVENT_ID_MAX_CHARS;
use crate::failure::{
    ARGUMENTS_MAX_CHARS, Failure, MESSAGE_MAX_CHARS, is_storable, storable, storable_shared,
};
use crate::guard::Guard;
use crate::identity::{EntityKind, ExecutionId};
use crate::outcome::{ExecutionResult, Outcome};
use crate::overlap::{self, Admission, Entry};
use crate::panics;
use crate::ports::{ExecutionEnd, ExecutionStart, Ticket, TriggerRef};
use crate::record::{RecordFlags, SubjectRef, Trigger, TriggerMode};
use crate::redact::{Redactor, TextKind};
use crate::run::poll::{Ending, Limits, Stop, Stopwatch, Watched};
use crate::run::verdict::{Terms, Times, Verdict, judge};
use crate::time::{Moment, Timestamp};

use super::aftermath::HeldPlace;
use super::{Ended, Runner};

/// An execution that has begun.
pub(super) struct Execution<R: Deref<Target = Runner>> {
    runner: R,
    begun: Moment,
    /// Its record is still owed.
    is_owed: bool,
    /// What the sink remembers of its beginning.
    ticket: Ticket,
    /// What may be kept of its trigger, where that is not all of it.
    kept_trigger: Option<Trigger>,
    /// Its place in line under its overlap rule, while it waits there.
    in_line: Option<overlap::Ticket>,
    /// It has a place inside, which it must give back.
    is_inside: bool,
    watched: Watched,
}

// Where a function is inlined here, it is because what it returns would be moved twice otherwise.
impl<R: Deref<Target = Runner>> Execution<R> {
    #[inline]
    pub(super) fn begin(runner: R, command: Command) -> Self {
        let begun = runner.clock.now();
        let id = ExecutionId::new(begun.wall);
        let span = span_of(&command, id);
        let stopwatch = runner.options.slow_poll.map(|_| Stopwatch::default());
        let traits = Traits {
            generation: context::traits().generation,
            records_backtraces: runner.options.record_backtraces,
        };
        Self {
            begun,
            is_owed: true,
            ticket: Ticket::NONE,
            kept_trigger: kept_of(command.trigger_ref(), &runner.options.redactor),
            in_line: None,
            is_inside: false,
            watched: Watched::new(command, id, span, stopwatch, traits),
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

    /// What passed until now is no part of it.
    pub(super) fn begin_anew(&mut self) {
        self.begun = self.runner.clock.now();
    }

    /// Asks the guard and takes a place under the overlap rule, in line if it must. What took time is no part of the
    /// handler's own run, which begins after it.
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

    /// The handler's own run begins.
    #[inline]
    fn start<'l>(&mut self, stop: Stop<'l>) -> Limits<'l> {
        self.ticket = self.runner.sink.begin(&self.told());
        // A deadline too far away for the clock to tell is none.
        let timeout = self.watched.command().effective_timeout();
        Limits {
            deadline: timeout.and_then(|timeout| self.begun.monotonic.checked_add(timeout)),
            stop,
            grace: self.runner.options.cancel_grace,
        }
    }

    /// What the sink is told of it, first when the handler begins and again at its end.
    fn told(&self) -> ExecutionStart<'_> {
        let command = self.watched.command();
        let kept = self.kept_trigger.as_ref();
        ExecutionStart {
            execution_id: self.watched.id(),
            subject: command.subject_ref(),
            source_tier: command.source_tier(),
            started_at: self.begun.wall,
            trigger: kept.map_or_else(|| command.trigger_ref(), TriggerRef::from),
        }
    }

    /// Ends what did not begin.
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
        // The record first: whoever listens to the log may panic.
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

    /// Boxed: there seldom is one, and an [`Ended`] is moved for each execution.
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

    /// What ends in line has not begun.
    fn duration(&self) -> Duration {
        if self.in_line.is_some() {
            return Duration::ZERO;
        }
        let now = self.runner.clock.monotonic();
        now.saturating_duration_since(self.begun.monotonic)
    }

    /// Pays the record that is owed; a second call pays nothing.
    fn offer(&mut self, outcome: &Outcome, flags: RecordFlags, duration: Duration) {
        if !std::mem::take(&mut self.is_owed) {
            return;
        }
        let (skipped, arguments) = (skipped(outcome), self.arguments());
        let end = ExecutionEnd {
            start: self.told(),
            status: outcome.status(),
            duration,
            failure: skipped.as_ref().or_else(|| outcome.failure()),
            flags,
            generation: self.watched.command().generation(),
            retry_count: 0,
            attempt_number: 1,
            arguments_json: arguments.as_deref(),
        };
        self.runner.sink.offer(&end, self.ticket);
        // Only now may the next one begin: their records come in their order.
        self.give_place_back();
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

    /// The place is free when the programs have ended that still go on.
    #[cold]
    fn leave_programs(&mut self) {
        let programs = self.watched.take_programs();
        let place = HeldPlace::new(self.watched.command().clone());
        self.runner.aftermath.add(programs, place);
    }

    /// Of a job, where its author asked for them.
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

impl<R: Deref<Target = Runner>> Drop for Execution<R> {
    /// Reached with a record owed only when the future of [`Runner::run`] is dropped half-way.
    /// The handler's future goes first, so that what it does while it is dropped still belongs
    /// to the execution and to its duration.
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
            // Whoever listens to the log may panic, and this thread may be unwinding already.
            panics::drop_quietly(panics::catch(|| self.say_what_leaked()).err());
        }
    }
}

/// What is asked before this run. Somebody who wants a job to run now is not asked whether it may.
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

/// Why it did not run, as its record says it.
fn skipped(outcome: &Outcome) -> Option<Arc<Failure>> {
    match outcome {
        Outcome::Skipped(reason) => Some(Arc::new(Failure::skipped(reason))),
        _ => None,
    }
}

/// What may be kept of a trigger, where that is not all of it.
fn kept_of(trigger: TriggerRef<'_>, redactor: &Redactor) -> Option<Trigger> {
    let TriggerRef::Event { id, origin } = trigger else {
        return None;
    };
    let is_short_id = |id: &Arc<str>| is_storable(id, EVENT_ID_MAX_CHARS);
    if redactor.keeps_all() && is_storable(origin, MESSAGE_MAX_CHARS) && id.is_none_or(is_short_id)
    {
        return None;
    }
    let keep = |kind, text, max_chars| {
        storable_shared(redactor.apply_shared(kind, Arc::clone(text)), max_chars)
    };
    Some(Trigger::Event {
        id: id.map(|id| keep(TextKind::TriggerId, id, EVENT_ID_MAX_CHARS)),
        origin: keep(TextKind::TriggerOrigin, origin, MESSAGE_MAX_CHARS),
    })
}

fn span_of(command: &Command, id: ExecutionId) -> Span {
    let SubjectRef { entity, row } = command.subject_ref();
    let row_of = |kind| row.filter(|_| entity.kind == kind).map(|row| row.0);
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
