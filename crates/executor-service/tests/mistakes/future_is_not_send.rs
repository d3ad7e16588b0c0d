//! A handler may be polled on any thread of the runtime.
use std::rc::Rc;

use executor_service::CommandExecutor;

async fn register(executor: CommandExecutor) {
    executor.job("lights", "dim").handler_fn(|| async {
        let level = Rc::new(40);
        std::future::ready(()).await;
        println!("{level}");
    });
}

fn main() {}
