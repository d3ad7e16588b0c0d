//! A handler returns nothing but success: the value belongs elsewhere.
use std::sync::Arc;

use command_executor::{CommandExecutor, Event};

async fn register(executor: CommandExecutor) {
    let hall = executor.listener("lights", "hall").topic("motion.hall");
    hall.handler(|_: Arc<Event>| async { 5 });
}

fn main() {}
