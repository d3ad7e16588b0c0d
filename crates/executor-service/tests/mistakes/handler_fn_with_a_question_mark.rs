//! The compiler cannot guess the error of an `async` block.
use executor_service::CommandExecutor;

async fn register(executor: CommandExecutor) {
    executor.job("lights", "dim").handler_fn(|| async {
        "40".parse::<u32>()?;
        Ok(())
    });
}

fn main() {}
