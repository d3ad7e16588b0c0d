//! What holds across modules, shown against a real directory or a simulated one.

mod contract;
pub(crate) mod dying;
mod faults;
mod fixture;
mod model;
mod mutate;
mod power;
pub(crate) mod sim;
