//! The thread that hands the lines of running executions to the spool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use executor_core::LineFlusher;

/// Runs until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Flushing {
    is_stopped: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flushing {
    /// A service without a spool has nothing to flush to.
    pub(crate) fn none() -> Self {
        Self {
            is_stopped: Arc::default(),
            thread: Mutex::default(),
        }
    }

    /// Starts the thread. Executions run without it too, but what they say dies with the process.
    pub(crate) fn start(flusher: LineFlusher) -> Self {
        let mut flushing = Self::none();
        let stop = Arc::clone(&flushing.is_stopped);
        let thread = thread::Builder::new().name("executor-lines".into());
        match thread.spawn(move || flusher.run(&stop)) {
            Ok(thread) => flushing.thread = Mutex::new(Some(thread)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "could not start the thread that saves lines: what an execution says is lost if the \
                     process is killed"
                );
            }
        }
        flushing
    }

    /// Stops the thread, which holds the spool, and waits for what it has in hand: a few lines.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            LineFlusher::wake();
            thread.thread().unpark();
            // A panic in it was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        self.stop();
    }
}
