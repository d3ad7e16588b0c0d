//! `handler` takes one error type; `handler_fn` takes any.
use std::sync::Arc;

use executor_core::Event;
use executor_service::CommandExecutor;

async fn hall(_: Arc<Event>) -> anyhow::Result<()> {
    Ok(())
}

async fn register(executor: CommandExecutor) {
    let listener = executor.listener("lights", "hall").topic("motion.hall");
    listener.handler(hall);
}

fn main() {}
