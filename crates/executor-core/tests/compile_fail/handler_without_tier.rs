//! A tier is required.
use std::sync::Arc;

use executor_core::{Event, InvokeHandler, Listener};

fn command(listener: Arc<Listener>, event: Arc<Event>) -> InvokeHandler {
    InvokeHandler {
        listener,
        event,
        effective_timeout: None,
    }
}

fn main() {}
