//! The same for a function.
use executor_service::CommandExecutor;

async fn register(executor: CommandExecutor) {
    executor.job("lights", "dim").handler_fn(|| async { 5 });
}

fn main() {}
