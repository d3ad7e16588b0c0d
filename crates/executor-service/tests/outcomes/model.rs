//! What a handler does, what happens to it, and how that must end.

use std::time::Duration;

use executor_core::{SourceTier, Status, TimeoutOrigin};
use fastrand::Rng;

macro_rules! closed_set {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($variant),+ }

        impl $name {
            pub(crate) const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

closed_set!(
    /// What the handler does when it has waited for a while.
    Behaviour {
        Returns = "returns `Ok`",
        Fails = "returns an error",
        FailsRudely = "returns an error whose `Display`, `source` and destructor panic",
        Known = "returns a known error",
        Dependency = "returns a dependency error",
        OwnTimeout = "returns a timeout of its own",
        Panics = "panics",
        PanicsWhenDropped = "returns `Ok`, and panics when its future is dropped",
        Spawns = "spawns a task that inherits, and awaits it",
        NeverReady = "is never ready",
        NeverReadyAndPanics = "is never ready, and panics when its future is dropped",
        CancelsItself = "cancels itself, and is never ready then",
        ReturnsWhenCancelled = "waits until it is cancelled, and returns an error",
        BlocksAndReturns = "blocks its thread, and returns `Ok`",
        BlocksAndFails = "blocks its thread, and returns an error",
        BlocksAndPanics = "blocks its thread, and panics",
    }
);

closed_set!(
    /// What happens around it.
    Circumstance {
        Undisturbed = "no deadline",
        InTime = "a deadline after that",
        DeadlinePasses = "its deadline passes before",
        Cancelled = "cancelled before",
        CancelledWithGrace = "cancelled before, with grace",
        Dropped = "dropped before",
        GuardSaysNo = "its guard says no",
        GuardFails = "its guard fails",
        GuardPanics = "its guard panics",
        Overlaps = "an earlier run goes on",
        CancelledInLine = "cancelled in line",
        DroppedInLine = "dropped in line",
    }
);

/// How an execution ends, as far as the two above decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) timeout_origin: Option<TimeoutOrigin>,
    pub(crate) overran: bool,
    pub(crate) is_di_failure: bool,
    pub(crate) has_report: Report,
    pub(crate) is_told: bool,
}

/// Whether the record has a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Never,
    Always,
    InFrameworkTier,
}

impl End {
    const fn plain(status: Status) -> Self {
        Self {
            status,
            timeout_origin: None,
            overran: false,
            is_di_failure: false,
            has_report: Report::Never,
            is_told: false,
        }
    }

    const fn failed(status: Status, has_report: Report) -> Self {
        Self {
            has_report,
            is_told: true,
            ..Self::plain(status)
        }
    }

    const fn timed_out(origin: TimeoutOrigin, has_report: Report) -> Self {
        Self {
            timeout_origin: Some(origin),
            ..Self::failed(Status::TimedOut, has_report)
        }
    }
}

/// The one right end; `None` where there is none, because it would run for ever.
pub(crate) fn expected(behaviour: Behaviour, circumstance: Circumstance) -> Option<End> {
    use Circumstance as C;
    let deadline = End::timed_out(TimeoutOrigin::Deadline, Report::Never);
    let end = match circumstance {
        C::Undisturbed => by_itself(behaviour)?,
        C::InTime => {
            let overran = blocks(behaviour);
            by_itself(behaviour).map_or(deadline, |end| End { overran, ..end })
        }
        C::DeadlinePasses => deadline,
        C::CancelledWithGrace if behaviour == Behaviour::ReturnsWhenCancelled => {
            End::failed(Status::Error, Report::Always)
        }
        C::CancelledWithGrace => by_itself(behaviour).unwrap_or(End::plain(Status::Cancelled)),
        C::Cancelled | C::Dropped | C::CancelledInLine | C::DroppedInLine => {
            End::plain(Status::Cancelled)
        }
        C::GuardSaysNo | C::Overlaps => End::plain(Status::Skipped),
        C::GuardFails => End::failed(Status::Error, Report::Always),
        C::GuardPanics => End::failed(Status::Panicked, Report::Always),
    };
    Some(end)
}

/// How it ends if nothing happens to it; `None` if it does not.
fn by_itself(behaviour: Behaviour) -> Option<End> {
    use Behaviour as B;
    let end = match behaviour {
        B::Returns | B::Spawns | B::BlocksAndReturns => End::plain(Status::Success),
        B::Fails | B::FailsRudely | B::BlocksAndFails => End::failed(Status::Error, Report::Always),
        B::Known => End::failed(Status::Error, Report::InFrameworkTier),
        B::Dependency => End {
            is_di_failure: true,
            ..End::failed(Status::Error, Report::InFrameworkTier)
        },
        B::OwnTimeout => End::timed_out(TimeoutOrigin::Handler, Report::Always),
        B::Panics | B::PanicsWhenDropped | B::BlocksAndPanics => {
            End::failed(Status::Panicked, Report::Always)
        }
        B::CancelsItself => End::plain(Status::Cancelled),
        B::NeverReady | B::NeverReadyAndPanics | B::ReturnsWhenCancelled => return None,
    };
    Some(end)
}

pub(crate) const fn blocks(behaviour: Behaviour) -> bool {
    use Behaviour as B;
    matches!(
        behaviour,
        B::BlocksAndReturns | B::BlocksAndFails | B::BlocksAndPanics
    )
}

/// A combination with everything that chance adds to it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) behaviour: Behaviour,
    pub(crate) circumstance: Circumstance,
    pub(crate) tier: SourceTier,
    /// What it waits for first, a step each: nothing (it only yields), or so many milliseconds.
    pub(crate) steps: Vec<Option<u64>>,
    /// When something happens to it, if the circumstance is one of those; before the steps are over.
    pub(crate) at: Duration,
    /// After how many polls it is dropped, if it is; before the steps are over.
    pub(crate) polls: usize,
    /// Which of the ways to do the same.
    pub(crate) variant: u8,
    pub(crate) seed: u64,
}

impl Case {
    pub(crate) fn random(seed: u64, rng: &mut Rng) -> Self {
        loop {
            let behaviour = Behaviour::ALL[rng.usize(..Behaviour::ALL.len())];
            let circumstance = Circumstance::ALL[rng.usize(..Circumstance::ALL.len())];
            if expected(behaviour, circumstance).is_some() {
                return Self::of(behaviour, circumstance, seed, rng);
            }
        }
    }

    pub(crate) fn of(
        behaviour: Behaviour,
        circumstance: Circumstance,
        seed: u64,
        rng: &mut Rng,
    ) -> Self {
        let mut steps: Vec<Option<u64>> = (0..rng.usize(..4))
            .map(|_| rng.bool().then(|| rng.u64(1..40)))
            .collect();
        // Time for something to happen in.
        steps.insert(rng.usize(..=steps.len()), Some(rng.u64(2..40)));
        if blocks(behaviour) && circumstance == Circumstance::InTime {
            // Its deadline is one that only a blocked thread misses.
            steps = vec![None; rng.usize(..4)];
        }
        let total: u64 = steps.iter().flatten().sum();
        let tiers = [SourceTier::App, SourceTier::Framework];
        Self {
            behaviour,
            circumstance,
            tier: tiers[rng.usize(..2)],
            at: Duration::from_millis(rng.u64(1..total.max(2))),
            polls: rng.usize(1..=steps.len().max(1)),
            steps,
            variant: rng.u8(..),
            seed,
        }
    }

    /// How it must end, with its tier applied.
    pub(crate) fn expected(&self) -> End {
        let end = expected(self.behaviour, self.circumstance).expect("only such cases are made");
        let has_report = match end.has_report {
            Report::InFrameworkTier if self.tier == SourceTier::Framework => Report::Always,
            Report::InFrameworkTier => Report::Never,
            report => report,
        };
        End { has_report, ..end }
    }
}
