//! Finds the place of a panic. Only a panic hook learns it, so the first runner installs one in front of
//! the program's own. The hook keeps the place of panics inside executions and prints nothing, because they
//! end as records; it passes every other panic on to the program's hook.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// The state of this thread; it has no destructor, because every poll reads it.
    static STATE: Cell<State> = const { Cell::new(State::OUTSIDE) };
    /// The place of the last panic in user code.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[derive(Clone, Copy)]
struct State {
    /// User code is being run.
    is_catching: bool,
    /// It has panicked, and `PLACE` says where.
    has_place: bool,
}

impl State {
    const OUTSIDE: Self = Self {
        is_catching: false,
        has_place: false,
    };
}

/// A panic that was caught.
pub(crate) struct Caught {
    pub(crate) payload: Box<dyn Any + Send>,
    /// `file:line`; `None` if somebody replaced the hook.
    pub(crate) place: Option<String>,
}

/// Puts the hook in front of the program's own, once.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if STATE.get().is_catching {
                let place = info.location();
                set_place(place.map(|at| format!("{}:{}", at.file(), at.line())));
            } else {
                others(info);
            }
        }));
    });
}

fn set_place(place: Option<String>) {
    let has_place = place.is_some();
    PLACE.set(place);
    STATE.set(State {
        has_place,
        ..STATE.get()
    });
}

/// Runs user code. A panic ends here.
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Box<Caught>> {
    // Start clean: a panic that the code itself catches, or one that is resumed without the hook, must not
    // get the place of another one.
    let outer = STATE.replace(State {
        is_catching: true,
        has_place: false,
    });
    let outer_place = if outer.has_place { PLACE.take() } else { None };
    // After a panic nothing of the code's is used again; it is only dropped, again inside `catch`.
    let result = catch_unwind(AssertUnwindSafe(code));
    let inner = STATE.replace(outer);
    // Boxed, so that moving a result of user code does not move room for it.
    let result = result.map_err(|payload| {
        let place = if inner.has_place { PLACE.take() } else { None };
        Box::new(Caught { payload, place })
    });
    if outer.has_place {
        PLACE.set(outer_place);
    }
    result
}

/// Resumes a panic that was caught on another thread, inside another [`catch`], and keeps its place.
pub(crate) fn resume(caught: Caught) -> ! {
    set_place(caught.place);
    panic::resume_unwind(caught.payload)
}

/// Drops a value that user code made and catches a panic of its destructor. The panic's payload is
/// leaked, because dropping it might panic again.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(caught) = catch(move || drop(value)) {
        std::mem::forget(caught.payload);
    }
}
