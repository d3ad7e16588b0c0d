//! A deadline is required, `None` included.
use std::sync::Arc;

use executor_core::{Event, InvokeHandler, Listener, SourceTier};

fn command(listener: Arc<Listener>, event: Arc<Event>) -> InvokeHandler {
    InvokeHandler {
        listener,
        event,
        source_tier: SourceTier::App,
    }
}

fn main() {}
