//! The hook that sees rows before they are pruned.

use std::sync::{Arc, OnceLock};

use executor_core::ports::StoredExecution;

/// Sees the rows of a slice before they are deleted.
pub(crate) type Hook = dyn Fn(&[StoredExecution]) + Send + Sync;

/// The store already has a hook; it takes only one.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a hook for pruned rows is already set")]
pub struct HookAlreadySet;

/// The place for the hook of a store.
#[derive(Default)]
pub(crate) struct HookPlace(OnceLock<Arc<Hook>>);

impl HookPlace {
    pub(crate) fn set(
        &self,
        hook: impl Fn(&[StoredExecution]) + Send + Sync + 'static,
    ) -> Result<(), HookAlreadySet> {
        self.0.set(Arc::new(hook)).map_err(|_| HookAlreadySet)
    }

    pub(crate) fn get(&self) -> Option<Arc<Hook>> {
        self.0.get().cloned()
    }
}
