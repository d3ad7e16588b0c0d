//! Where a panic happened. Only a panic hook learns that, so one is put in front of the program's
//! own the first time a runner is made. It keeps the place of panics inside executions and is
//! silent about them, because they end as records; every other panic goes on to the program's hook.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
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
            if CATCHING.get() {
                let place = info
                    .location()
                    .map(|at| format!("{}:{}", at.file(), at.line()));
                PLACE.set(place);
            } else {
                others(info);
            }
        }));
    });
}

/// Runs user code. A panic ends here.
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Caught> {
    let outer = CATCHING.replace(true);
    // A panic that the code catches itself, or one that is resumed without the hook, must not be
    // taken for another one's place.
    let outer_place = PLACE.take();
    // Nothing of the code's is looked at after a panic, except to drop it, in here again.
    let result = catch_unwind(AssertUnwindSafe(code));
    CATCHING.set(outer);
    let place = PLACE.replace(outer_place);
    result.map_err(|payload| Caught { payload, place })
}

/// Drops what user code made. A panic of its destructor ends here, with all that it carries:
/// dropping that in turn might panic again.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(caught) = catch(move || drop(value)) {
        std::mem::forget(caught.payload);
    }
}
