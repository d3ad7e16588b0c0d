//! What people asked for, in the in-memory store.

use executor_core::ports::{
    ActionStore, HistoryFuture, PageOf, PageRequest, RecordedAction, StoreFuture, Window,
};

use super::MemoryStore;
use super::history::{latest_first, page_of};

impl ActionStore for MemoryStore {
    fn record_action(&self, action: RecordedAction) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with("recording an action", |tables| {
                let key =
                    |it: &RecordedAction| (it.session, it.at, it.action.clone(), it.target.clone());
                if !tables.actions.iter().any(|it| key(it) == key(&action)) {
                    tables.actions.push(action);
                }
            })
        })
    }
}

impl MemoryStore {
    pub(super) fn read_actions(
        &self,
        window: &Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<RecordedAction>> {
        const READING: &str = "reading actions";
        let (page, window) = (latest_first(page), window.clone());
        self.read(READING, move |tables| {
            let is_in = |it: &RecordedAction| {
                let is_of = |session| it.session == Some(session);
                window.session.is_none_or(is_of)
                    && window.from.is_none_or(|from| it.at >= from)
                    && window.to.is_none_or(|to| it.at < to)
            };
            let actions = tables.actions.iter().enumerate();
            let actions = actions.filter(|(_, it)| is_in(it));
            let placed = actions.map(|(number, it)| ((0, number as i64), it.clone()));
            page_of(READING, placed.collect(), &page)
        })
    }
}
