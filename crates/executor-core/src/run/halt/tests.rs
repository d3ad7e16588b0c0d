//! Requests to end one execution: who hears them, and who does not.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Halt;
use crate::identity::ExecutionId;
use crate::time::Timestamp;

const PATIENCE: Duration = Duration::from_secs(2);

fn halt() -> (Halt, CancellationToken) {
    let token = CancellationToken::new();
    (Halt::new(token.clone()), token)
}

fn id(at: i64) -> ExecutionId {
    ExecutionId::new(Timestamp::from_micros(at))
}

async fn goes_on(waiting: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn a10_only_the_execution_that_is_meant_hears() {
    let (halt, _token) = halt();
    let (one, other) = (id(1), id(2));
    let (heard, ()) = tokio::join!(halt.request(one, PATIENCE), halt.of(one));
    assert!(heard);
    // One that begins to wait later finds the request, and each request is taken once.
    let (heard, ()) = tokio::join!(halt.request(other, PATIENCE), async {
        tokio::time::sleep(PATIENCE / 2).await;
        halt.of(other).await;
    });
    assert!(heard);
    assert!(goes_on(halt.of(other)).await);
}

#[tokio::test(start_paused = true)]
async fn a10_everybody_who_asks_for_the_same_is_answered() {
    let (halt, _token) = halt();
    let one = id(1);
    let both = async { tokio::join!(halt.request(one, PATIENCE), halt.request(one, PATIENCE)) };
    let (heard, ()) = tokio::join!(both, async {
        tokio::time::sleep(PATIENCE / 2).await;
        halt.of(one).await;
    });
    assert_eq!(heard, (true, true));
}

#[tokio::test(start_paused = true)]
async fn a10_a_request_that_was_given_up_ends_nothing() {
    let (halt, token) = halt();
    let one = id(1);
    assert!(!halt.request(one, PATIENCE).await, "nobody is there");
    assert!(goes_on(halt.of(one)).await);
    {
        let mut dropped = pin!(halt.request(one, PATIENCE));
        assert!(still_waits(dropped.as_mut()).await);
    }
    assert!(goes_on(halt.of(one)).await);
    token.cancel();
    halt.of(one).await;
}

/// Polls once, and returns whether it still waits.
async fn still_waits(mut future: std::pin::Pin<&mut impl Future<Output = bool>>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}
