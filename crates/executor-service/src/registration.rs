//! Listeners and jobs: how they are registered, and what is done with them afterwards.

pub(crate) mod registrar;

pub mod handle;

pub mod builders;

pub use builders::{JobBuilder, JobToRegister, ListenerBuilder, ListenerToRegister, RegisterError};
pub use handle::{JobHandle, ListenerHandle};
