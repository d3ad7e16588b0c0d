//! A handler returns nothing but success: the value belongs elsewhere.
use std::sync::Arc;

use executor_core::Event;
use executor_service::CommandExecutor;

async fn register(executor: CommandExecutor) {
    let hall = executor.listener("lights", "hall").topic("motion.hall");
    hall.handler(|_: Arc<Event>| async { 5 });
}

fn main() {}
