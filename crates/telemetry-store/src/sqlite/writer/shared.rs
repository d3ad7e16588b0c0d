//! One writer per database file. Stores of the same file in one process share it, so none of them waits for
//! another's lock, and each request sees everything that earlier ones wrote.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use executor_core::{ErrorClass, StoreError};

use crate::sqlite::open::address::Target;
use crate::sqlite::open::error::OpenError;
use crate::sqlite::writer::{Deferred, Writer};

/// Writers by the canonical paths of their files, and how many share each.
type Writers = HashMap<PathBuf, (Arc<Writer>, usize)>;

/// Those of this process.
static WRITERS: LazyLock<Mutex<Writers>> = LazyLock::new(Mutex::default);

fn writers() -> MutexGuard<'static, Writers> {
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A share of a writer. Each share closes by itself; the writer ends with the last one.
pub(crate) struct SharedWriter {
    writer: Arc<Writer>,
    target: Target,
    is_closed: AtomicBool,
}

impl SharedWriter {
    /// Opens the database, and joins the writer that this process has for it already, if there is one.
    pub(crate) async fn open(target: Target, file_mode: u32) -> Result<(Self, Target), OpenError> {
        let (writer, target) = Writer::start(target, file_mode).await?;
        let shared = Self {
            writer: join(writer, &target),
            target: target.clone(),
            is_closed: AtomicBool::new(false),
        };
        Ok((shared, target))
    }

    /// [`Writer::call`].
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.refuse_if_closed(operation)?;
        self.writer.call(operation, work).await
    }

    /// [`Writer::call_later`].
    pub(crate) async fn call_later<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.refuse_if_closed(operation)?;
        self.writer.call_later(operation, work).await
    }

    /// [`Writer::deferred`].
    pub(crate) fn deferred(&self) -> Deferred {
        self.writer.deferred()
    }

    /// [`Writer::sync_commits`]; those that share the writer wait for the medium too.
    pub(crate) fn sync_commits(&self) {
        self.writer.sync_commits();
    }

    /// Refuses further requests. Returns once the earlier ones are done and, if nobody shares the writer
    /// any more, its connection is closed.
    pub(crate) async fn close(&self) {
        // Served after the earlier requests.
        let is_over = async || self.writer.call("closing", |_| Ok(())).await;
        let is_last = self.leave();
        if is_last
            || is_over()
                .await
                .is_err_and(|error| error.class == ErrorClass::Closed)
        {
            self.writer.close().await;
        }
    }

    /// Gives up this share. Returns whether nobody else shares the writer any more.
    fn leave(&self) -> bool {
        let Some(path) = self.target.path() else {
            return !self.is_closed.swap(true, Ordering::SeqCst);
        };
        let mut writers = writers();
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return false;
        }
        let Some((_, shares)) = writers.get_mut(path) else {
            return true;
        };
        *shares -= 1;
        let is_last = *shares == 0;
        if is_last {
            writers.remove(path);
        }
        is_last
    }

    fn refuse_if_closed(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(StoreError::closed(operation));
        }
        Ok(())
    }
}

impl Drop for SharedWriter {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Returns the existing writer for this file, or registers this one.
fn join(writer: Writer, target: &Target) -> Arc<Writer> {
    let writer = Arc::new(writer);
    let Some(path) = target.path() else {
        return writer;
    };
    let mut writers = writers();
    let (shared, shares) = writers
        .entry(path.to_owned())
        .or_insert_with(|| (Arc::clone(&writer), 0));
    *shares += 1;
    Arc::clone(shared)
}

#[cfg(test)]
mod tests;
