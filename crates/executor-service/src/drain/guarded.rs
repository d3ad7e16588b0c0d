//! Shields callers from a store that panics: a panic becomes an unreachable-store error.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use executor_core::StoreError;
use executor_core::ports::StoreFuture;

/// Makes the request and waits for its answer.
pub(crate) async fn guarded<'s, T>(
    operation: &'static str,
    ask: impl FnOnce() -> StoreFuture<'s, T>,
) -> Result<T, StoreError> {
    let mut ask = Some(ask);
    let mut asking = None;
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(ask) = ask.take() {
                asking = Some(ask());
            }
            asking
                .as_mut()
                .map_or(Poll::Pending, |asking| asking.as_mut().poll(cx))
        }));
        polled.unwrap_or_else(|_| {
            Poll::Ready(Err(StoreError::unreachable(
                operation,
                "the store panicked",
            )))
        })
    })
    .await
}
