//! How long 10,000 registrations take, one after the other, beside a prepared upsert through rusqlite
//! on the same table, each a transaction of its own as well.

use std::time::{Duration, Instant};

use executor_core::ports::RegistrationStore;
use executor_testkit::{TempDatabase, listener};

use crate::{Pairs, TURNS, rows};

const COUNT: usize = 10_000;

/// Seconds for all of them.
pub(crate) fn measure() -> Pairs {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut pairs = Pairs::default();
    for _ in 0..TURNS / 3 {
        let (ours, bare) = (TempDatabase::new(), TempDatabase::new());
        let ours = runtime.block_on(through_the_store(&ours));
        pairs.ours.push(ours.as_secs_f64());
        pairs.bare.push(through_rusqlite(&bare).as_secs_f64());
    }
    pairs
}

async fn through_the_store(database: &TempDatabase) -> Duration {
    let store = database.open().await.unwrap();
    let listeners: Vec<_> = (0..COUNT)
        .map(|number| listener(&format!("listener {number}")))
        .collect();
    let begun = Instant::now();
    for listener in listeners {
        store.register(listener).await.unwrap();
    }
    begun.elapsed()
}

fn through_rusqlite(database: &TempDatabase) -> Duration {
    let connection = rows::connection(&database.path());
    let begun = Instant::now();
    for number in 0..COUNT {
        let mut upsert = connection
            .prepare_cached(
                "INSERT INTO listeners (app_key, instance, name, topic, source_tier) \
                 VALUES ('lights', 0, ?1, 'motion.hall', 'app') \
                 ON CONFLICT (app_key, instance, name, topic) DO UPDATE SET source_tier = 'app' \
                 RETURNING id",
            )
            .unwrap();
        let name = format!("listener {number}");
        upsert
            .query_row([name], |row| row.get::<_, i64>(0))
            .unwrap();
    }
    begun.elapsed()
}
