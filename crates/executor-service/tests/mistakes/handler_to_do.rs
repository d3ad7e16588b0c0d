//! What is not written yet has no type either.
use executor_service::CommandExecutor;

async fn register(executor: CommandExecutor) {
    executor.job("lights", "dim").handler_fn(|| async { todo!() });
}

fn main() {}
