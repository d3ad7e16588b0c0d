//! Clause A20 from outside: a thousand secrets go through everything that can carry a text, and none
//! of them is in the database, in its log, or in the program's.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use command_executor::process::CommandLine;
use command_executor::redact::{Redact, TextKind};
use command_executor::{CommandExecutor, Config, Event, HandlerError, HandlerFailure, SqliteStore};

const CANARIES: usize = 1_000;

fn canary(number: usize) -> String {
    format!("canary-{number:04}-sings")
}

/// Replaces every canary, and nothing else.
struct Cage;

impl Redact for Cage {
    fn redact<'t>(&self, _: TextKind, text: &'t str) -> Cow<'t, str> {
        let mut parts = text.split("canary-");
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            kept.push_str("[caged]");
            kept.push_str(part.get("0000-sings".len()..).unwrap_or_default());
        }
        Cow::Owned(kept)
    }
}

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One way for a canary to get out; the event carries it as its payload.
async fn sing(way: usize, canary: String) -> Result<(), HandlerError> {
    match way {
        0 => Err(canary.into()),
        1 => Err(HandlerError::known(format!("before {canary} after"))),
        2 => Err(HandlerError::named(canary, "a name may be a secret")),
        3 => Err(io::Error::other(io::Error::other(canary)).into()),
        4 => panic!("{canary}"),
        // On the cut of a long message and of a long report.
        5 => Err(format!("{}{canary}{}", "x".repeat(1_480), "y".repeat(9_000)).into()),
        6 => Err(HandlerError::timed_out(canary)),
        _ => Ok(()),
    }
}

/// Whether a canary is somewhere in these bytes, and which.
fn found_in(bytes: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(bytes);
    (0..CANARIES)
        .filter(|number| text.contains(&canary(*number)))
        .collect()
}

#[test]
fn a20_of_a_thousand_canaries_none_is_in_the_database_or_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("canaries.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // On one thread, so that all that is logged comes here; nothing else in this process is.
    tracing::subscriber::with_default(subscriber, || runtime.block_on(let_them_sing(&path)));

    let connection = rusqlite::Connection::open(&path).unwrap();
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM executions", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, CANARIES as i64);
    drop(connection);
    for file in std::fs::read_dir(place.path()).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            let found = found_in(&std::fs::read(&file).unwrap());
            assert!(found.is_empty(), "{} in {}", found.len(), file.display());
        }
    }
    let log = log.0.lock().unwrap();
    assert!(
        found_in(&log).is_empty(),
        "{} in the log",
        found_in(&log).len()
    );
    let is_there = |text: &str| String::from_utf8_lossy(&log).contains(text);
    assert!(
        is_there("[caged]") && is_there("execution failed"),
        "the log was listened to"
    );
}

/// The canary that an event carries.
fn carried(event: &Event) -> String {
    event
        .payload::<String>()
        .cloned()
        .expect("every event carries one")
}

async fn let_them_sing(path: &Path) {
    let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
    let config = Config::default().with_queue_max(10 * CANARIES);
    let builder = CommandExecutor::builder(store).config(config).redact(Cage);
    let executor = builder.start().await.unwrap();
    // An error handler that fails is logged with what it says.
    executor.on_app_error("birds", |failure: HandlerFailure| async move {
        let text = failure.event.as_ref().map(|event| carried(event));
        Err::<(), _>(text.unwrap_or_default())
    });
    let listener = |name: &str| executor.listener("birds", name).topic("#");
    let talks = listener("talks").handler(|event: Arc<Event>| async move {
        let text = carried(&event);
        let way = text["canary-".len()..][..4].parse::<usize>()? / 10 % 7;
        sing(way, text).await
    });
    let blocks = listener("blocks")
        .blocking_handler(|event| -> Result<(), HandlerError> { panic!("{}", carried(&event)) });
    let guarded = listener("guarded").only_if(|event: &Event| Err::<bool, _>(carried(event)));
    let guarded = guarded.handler_fn(|| async {});
    let prints = CommandLine::new("sh").args(["-c", "tee /dev/stderr; exit 1"]);
    let prints = listener("prints").handler(prints);
    let listeners = [
        talks.register().await.unwrap(),
        blocks.register().await.unwrap(),
        guarded.register().await.unwrap(),
        prints.register().await.unwrap(),
    ];
    for number in 0..CANARIES {
        let text = canary(number);
        let command = match number % 10 {
            9 => {
                let job = executor
                    .job("birds", "argues")
                    .record_arguments(format!("[{text:?}]"));
                let job = job.handler_fn(|| async {}).register().await.unwrap();
                job.run_now()
            }
            kind => {
                let event = Event::new(text.as_str())
                    .with_id(text.as_str())
                    .with_origin(text.as_str());
                let listener = &listeners[kind.saturating_sub(5)];
                listener.invoke(event.with_payload(text))
            }
        };
        executor.execute(command).await.unwrap();
    }
    let report = executor.shutdown(Duration::from_secs(20)).await;
    assert_eq!(report.ledger.stored, CANARIES as u64);
}
