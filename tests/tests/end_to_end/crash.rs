//! A process is killed.

use std::time::Duration;

use command_executor::CommandExecutor;
use executor_testkit::TempDatabase;

use crate::support::{Helper, number};

const RECORDER: &str = env!("CARGO_BIN_EXE_recorder");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_processes_that_start_at_once_on_an_absent_database_do_not_collide() {
    for _ in 0..5 {
        let database = TempDatabase::new();
        let path = database.path();
        let start = || Helper::start(RECORDER, &path);
        let (one, two, three, four) = tokio::join!(start(), start(), start(), start());
        for helper in [one, two, three, four] {
            assert!(helper.said.starts_with("recorded "), "{}", helper.said);
            helper.finish().await;
        }
        assert_eq!(number(&path, "SELECT count(*) FROM executions"), 4);
        assert_eq!(
            number(
                &path,
                "SELECT count(*) FROM sessions WHERE status = 'success'"
            ),
            4
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_the_session_of_a_killed_process_is_found_crashed_and_that_of_a_living_one_is_not() {
    let database = TempDatabase::new();
    let mut victim = Helper::start(RECORDER, &database.path()).await;
    let living = Helper::start(RECORDER, &database.path()).await;
    assert!(victim.said.starts_with("recorded "), "{}", victim.said);
    victim.child.kill().await.unwrap();

    let store = database.open().await.unwrap();
    let executor = CommandExecutor::builder(store).start().await.unwrap();
    let count = |status: &str| {
        let query = format!("SELECT count(*) FROM sessions WHERE status = '{status}'");
        number(&database.path(), &query)
    };
    assert_eq!((count("crashed"), count("running")), (1, 2));
    assert_eq!(
        number(&database.path(), "SELECT count(*) FROM executions"),
        2
    );
    living.finish().await;
    executor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(
        (count("crashed"), count("success"), count("running")),
        (1, 2, 0)
    );
    let locks = std::fs::read_dir(database.path().with_extension("db.sessions"));
    assert!(
        locks.is_err(),
        "the lock files are gone with their sessions"
    );
}
