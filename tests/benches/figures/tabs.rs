//! What browsers that read nothing cost a program that records and shows a dashboard: executions, and their way into the
//! database, beside those without any browser.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_executor::{CommandExecutor, Config, Event, ListenerHandle};
use executor_dashboard::{Access, Dashboard};
use executor_testkit::TempDatabase;

use crate::load::{memory_mib, start};
use crate::{Pairs, TURNS, per_item};

const TABS: usize = 100;

const EXECUTIONS: usize = 100_000;

/// Nanoseconds for each execution, and until it is stored.
#[derive(Default)]
pub(crate) struct Costs {
    pub(crate) executions: Pairs,
    pub(crate) stored: Pairs,
    /// The most memory with and without tabs, in MiB.
    pub(crate) memory: (u64, u64),
}

pub(crate) fn measure() -> Costs {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = TempDatabase::new();
        let (executor, listener) = start(&database, Config::default()).await;
        let address = show(&database, &executor).await;
        let mut costs = Costs::default();
        // Once before anything counts.
        run(&executor, &listener).await;
        for turn in 0..2 * TURNS {
            let has_tabs = turn % 2 == 1;
            let tabs = if has_tabs { open(address) } else { Vec::new() };
            // Until all of them are connected.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (executed, stored) = run(&executor, &listener).await;
            let memory = memory_mib().0;
            drop(tabs);
            let costs = &mut costs;
            let (executions, rows) = (&mut costs.executions, &mut costs.stored);
            let (executions, rows, most) = match has_tabs {
                true => (&mut executions.ours, &mut rows.ours, &mut costs.memory.0),
                false => (&mut executions.bare, &mut rows.bare, &mut costs.memory.1),
            };
            executions.push(per_item(executed, EXECUTIONS));
            rows.push(per_item(stored, EXECUTIONS));
            *most = memory.max(*most);
        }
        executor.shutdown(Duration::from_secs(60)).await;
        costs
    })
}

async fn show(database: &TempDatabase, executor: &CommandExecutor) -> SocketAddr {
    let history = database.history();
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let router = Dashboard::new(Arc::new(history), Access::Everybody)
        .with_live_state(Arc::new(executor.clone()))
        .for_port(address.port())
        .router();
    tokio::spawn(axum::serve(server, router).into_future());
    address
}

/// Opens the streams of tabs that a browser has put to sleep: it asks for changes and reads nothing of them.
fn open(address: SocketAddr) -> Vec<TcpStream> {
    let tabs = (0..TABS).map(|_| {
        let mut tab = TcpStream::connect(address).unwrap();
        let asked = format!("GET /changes HTTP/1.1\r\nhost: {address}\r\n\r\n");
        tab.write_all(asked.as_bytes()).unwrap();
        tab
    });
    tabs.collect()
}

async fn run(executor: &CommandExecutor, listener: &ListenerHandle) -> (Duration, Duration) {
    let begun = Instant::now();
    let event = Arc::new(Event::new("t"));
    for _ in 0..EXECUTIONS {
        let command = listener.invoke(Arc::clone(&event));
        executor.execute(command).await.unwrap();
    }
    let executed = begun.elapsed();
    executor.flush().await.unwrap();
    (executed, begun.elapsed())
}
