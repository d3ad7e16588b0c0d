//! Where a panic happened. Only a panic hook learns that, so one is put in front of the program's
//! own the first time a runner is made. It keeps the place of panics inside executions and is
//! silent about them, because they end as records; every other panic goes on to the program's hook.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// What this thread is at; without a destructor, because every poll looks at it.
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

/// A panic that went no further.
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
    // Clean on entry: a panic that the code catches itself, or one that is resumed without the hook,
    // must not be taken for another one's place.
    let outer = STATE.replace(State {
        is_catching: true,
        has_place: false,
    });
    let outer_place = if outer.has_place { PLACE.take() } else { None };
    // Nothing of the code's is looked at after a panic, except to drop it, in here again.
    let result = catch_unwind(AssertUnwindSafe(code));
    let inner = STATE.replace(outer);
    // Boxed: every result of user code is moved around with room for it.
    let result = result.map_err(|payload| {
        let place = if inner.has_place { PLACE.take() } else { None };
        Box::new(Caught { payload, place })
    });
    if outer.has_place {
        PLACE.set(outer_place);
    }
    result
}

/// Lets a panic that was caught on another thread go on here, inside of another [`catch`], with its
/// place.
pub(crate) fn resume(caught: Caught) -> ! {
    set_place(caught.place);
    panic::resume_unwind(caught.payload)
}

/// Drops what user code made. A panic of its destructor ends here, with all that it carries:
/// dropping that in turn might panic again.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(caught) = catch(move || drop(value)) {
        std::mem::forget(caught.payload);
    }
}
