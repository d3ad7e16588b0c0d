//! Tests of `running.rs`.

use super::*;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_closes_it_waits_for_all_that_entered_and_for_nobody_else() {
    for _ in 0..200 {
        let running = Arc::new(Running::default());
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let running = Arc::clone(&running);
            tasks.push(tokio::spawn(async move {
                let mut entered = 0;
                while let Ok(_inside) = running.enter() {
                    entered += 1;
                    tokio::task::yield_now().await;
                }
                entered
            }));
        }
        tokio::task::yield_now().await;
        running.close();
        running.wait(0).await;
        assert_eq!(running.enter().err(), Some(Refused::Stopping));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((running.len(), running.refused()), (0, 9));
    }
}

#[test]
fn what_is_paused_refuses_until_it_is_resumed() {
    let running = Running::default();
    running.pause();
    assert_eq!(running.enter().err(), Some(Refused::Paused));
    running.resume();
    assert!(running.enter().is_ok());
    assert_eq!((running.len(), running.refused()), (0, 1));
}
