//! A bot with fifty listeners that come and go while events arrive.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use command_executor::registration::Overlap;
use command_executor::{
    CommandExecutor, Event, History, ListenerHandle, SqliteHistory, SqliteStore, Window,
};

/// A message that somebody wrote in a room.
struct Message {
    text: &'static str,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open("bot.db").await?;
    let executor = CommandExecutor::builder(store).start().await?;

    // One plugin for each room, and one that sees everything first.
    let mut plugins = Vec::new();
    for room in 0..49 {
        plugins.push(plugin(&executor, room).await?);
    }
    let log = executor
        .listener("bot", "log")
        .topic("chat.#")
        .details(|details| details.priority = 10)
        .handler_fn(|event: Arc<Event>| async move { println!("{}", event.topic) });
    log.register().await?; // it stays, also without its handle

    say(&executor, 7, "hello").await?;
    say(&executor, 7, "").await?; // its plugin fails, and goes on

    // Half of the plugins are cancelled; one of them comes back with a new handler.
    for plugin in plugins.drain(..25) {
        plugin.cancel().await?;
    }
    say(&executor, 7, "is anybody there?").await?;
    plugins.push(plugin(&executor, 7).await?);
    say(&executor, 7, "welcome back").await?;

    let report = executor.shutdown(Duration::from_secs(5)).await;
    println!("{}", report.ledger);

    // Print what ran, and the last error of each listener.
    for summary in SqliteHistory::new("bot.db")?
        .summaries(Window::default())
        .await?
    {
        let failed = summary
            .stats
            .last_error
            .as_deref()
            .unwrap_or("never failed");
        println!(
            "{} runs of {}: {failed}",
            summary.stats.runs(),
            summary.entity.name
        );
    }
    Ok(())
}

async fn plugin(executor: &CommandExecutor, room: u32) -> anyhow::Result<ListenerHandle> {
    let listener = executor
        .listener("bot", format!("greeter_{room}"))
        .topic(format!("chat.room_{room}.*"))
        .overlap(Overlap::Queued) // messages of a room are answered in order
        .handler_fn(move |event: Arc<Event>| async move {
            let message = event.try_payload::<Message>()?;
            let first = message
                .text
                .split(' ')
                .next()
                .filter(|word| !word.is_empty());
            println!("room {room}: {}", first.context("nothing was said")?);
            anyhow::Ok(())
        });
    Ok(listener.register().await?)
}

/// Publishes a message and waits until every plugin has dealt with it.
async fn say(executor: &CommandExecutor, room: u32, text: &'static str) -> anyhow::Result<()> {
    let event = Event::new(format!("chat.room_{room}.message")).with_payload(Message { text });
    for submitted in executor.publish(event)?.submitted {
        submitted.await;
    }
    Ok(())
}
