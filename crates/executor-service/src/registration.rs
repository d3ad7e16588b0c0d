//! Registers listeners and jobs, and provides their handles.

use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) mod registrar;

pub(crate) mod wrapped;

pub mod handle;

pub(crate) mod subscriptions;

pub mod builders;

pub use builders::{JobBuilder, JobToRegister, ListenerBuilder, ListenerToRegister, RegisterError};
pub use handle::{JobHandle, ListenerHandle};
pub use wrapped::Wrapped;

/// Drops registrations one by one: a destructor of a handler, which is user code, may panic and affects no other.
pub(crate) fn drop_each<T>(registrations: Vec<T>) {
    for registration in registrations {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(registration)));
    }
}
