//! A listener and a job of a small house, recorded into `telemetry.db`.

use std::sync::Arc;
use std::time::Duration;

use command_executor::{CommandExecutor, Event, HandlerFailure, SqliteStore};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open("telemetry.db").await?;
    let executor = CommandExecutor::builder(store).start().await?;

    let motion = executor
        .listener("lights", "hall_motion")
        .topic("motion.hall")
        .timeout(Duration::from_secs(10))
        .on_error(|failure: HandlerFailure| async move {
            eprintln!("{}: {}", failure.name(), failure.message());
        })
        .handler(|event: Arc<Event>| async move {
            // `?` works on any error; one of a payload of another type names both types.
            let lux: u32 = event.try_payload::<&str>()?.parse()?;
            println!("{} at {lux} lux", event.topic);
            Ok(())
        })
        .register()
        .await?;
    let nightly = executor
        .job("lights", "all_off")
        .handler_fn(|| async {})
        .register()
        .await?;

    for lux in ["40", "dark"] {
        let event = Event::new("motion.hall").with_payload(lux);
        let result = executor.execute(motion.invoke(event)).await?;
        println!("{}: {}", result.execution_id, result.status().as_str());
    }
    executor.execute(nightly.run_now()).await?;

    let report = executor.shutdown(Duration::from_secs(5)).await;
    println!("{}", report.ledger);
    Ok(())
}
