//! The compiler cannot guess the error of an `async` block.
use command_executor::CommandExecutor;

async fn register(executor: CommandExecutor) {
    executor.job("lights", "dim").handler_fn(|| async {
        "40".parse::<u32>()?;
        Ok(())
    });
}

fn main() {}
