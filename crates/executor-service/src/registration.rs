//! Registers listeners and jobs, and provides their handles.

pub(crate) mod registrar;

pub(crate) mod wrapped;

pub mod handle;

pub(crate) mod subscriptions;

pub mod builders;

pub use builders::{JobBuilder, JobToRegister, ListenerBuilder, ListenerToRegister, RegisterError};
pub use handle::{JobHandle, ListenerHandle};
pub use wrapped::Wrapped;
