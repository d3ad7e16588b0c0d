//! Nothing is registered before that.
use executor_service::CommandExecutor;

async fn register(executor: CommandExecutor) {
    let dim = executor.job("lights", "dim").handler_fn(|| async {});
    let dim = dim.register();
    executor.execute(dim.run_now()).await.ok();
}

fn main() {}
