//! A handler outlives the function that registers it.
use executor_service::CommandExecutor;

async fn register(executor: CommandExecutor, level: String) {
    executor.job("lights", "dim").handler_fn(|| async { println!("{level}") });
}

fn main() {}
