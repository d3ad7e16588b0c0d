//! Clause J02: what people ask of a running executor is done or refused, and recorded either way.

use std::sync::Arc;

use executor_core::ports::{
    Action, Actions, Asker, History, NotActed, PageRequest, RecordedAction, Window,
};
use executor_core::{Entity, Event, ExecutionId, Refused, Status, Timestamp};
use executor_service::CommandExecutor;
use executor_testkit::MemoryStore;

use crate::support::{Fixture, event, forever};

fn somebody() -> Asker {
    Asker {
        who: "somebody".into(),
        origin: "192.0.2.1:50000".into(),
    }
}

async fn recorded(store: &MemoryStore) -> Vec<RecordedAction> {
    let page = store.actions(Window::default(), PageRequest::default());
    page.await.unwrap().items
}

async fn act(executor: &CommandExecutor, action: Action) -> Result<Option<ExecutionId>, NotActed> {
    let acted = executor.act(action, somebody()).await;
    assert!(acted.not_recorded.is_none());
    acted.done
}

#[tokio::test(start_paused = true)]
async fn j02_what_people_ask_for_is_done_and_recorded() {
    let store = MemoryStore::new();
    let executor = CommandExecutor::builder(store.clone())
        .start()
        .await
        .unwrap();
    let job = executor.job("house", "backup").handler_fn(|| async {});
    let job = job.register().await.unwrap();
    let entity = Arc::clone(&job.job().registration.entity);
    assert_eq!(executor.is_paused(&entity), Some(false));

    let paused = act(&executor, Action::Pause(Arc::clone(&entity))).await;
    assert_eq!(paused, Ok(None));
    assert_eq!(executor.is_paused(&entity), Some(true));
    let refused = act(&executor, Action::Run(Arc::clone(&entity))).await;
    assert_eq!(refused, Err(NotActed::Refused(Refused::Paused)));
    let resumed = act(&executor, Action::Resume(Arc::clone(&entity))).await;
    assert_eq!(resumed, Ok(None));
    let begun = act(&executor, Action::Run(entity)).await.unwrap().unwrap();
    executor.flush().await.unwrap();
    assert_eq!(store.records()[0].execution_id, begun);

    let recorded = recorded(&store).await;
    let said: Vec<_> = recorded
        .iter()
        .map(|it| (it.action.as_str(), it.outcome.as_str()))
        .collect();
    let began = format!("began {begun}");
    assert_eq!(
        said,
        [
            ("run", began.as_str()),
            ("resume", "resumed"),
            (
                "run",
                "not done: refused: the executor, listener or job is paused"
            ),
            ("pause", "paused"),
        ]
    );
    for action in recorded {
        assert_eq!(action.session, Some(executor.session_id()));
        assert_eq!(action.target, "house/backup");
        assert_eq!(
            (action.who.as_str(), action.origin.as_str()),
            ("somebody", "192.0.2.1:50000")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn j02_what_cannot_be_done_is_recorded_as_well() {
    let store = MemoryStore::new();
    let executor = CommandExecutor::builder(store.clone())
        .start()
        .await
        .unwrap();
    let hall = executor.listener("lights", "hall").topic("motion");
    let hall = hall.handler_fn(|| async {}).register().await.unwrap();
    let entity = Arc::clone(&hall.listener().registration.entity);
    let nobody = Arc::new(Entity::job("house", 0, "nobody"));
    assert_eq!(executor.is_paused(&nobody), None);
    for action in [
        Action::Run(Arc::clone(&nobody)),
        Action::Pause(Arc::clone(&nobody)),
        Action::Resume(nobody),
    ] {
        assert_eq!(act(&executor, action).await, Err(NotActed::NotRegistered));
    }
    assert_eq!(
        act(&executor, Action::Run(Arc::clone(&entity))).await,
        Err(NotActed::NoJob)
    );
    let id = ExecutionId::new(Timestamp::from_micros(1));
    assert_eq!(
        act(&executor, Action::Cancel(id)).await,
        Err(NotActed::NotHeard)
    );
    hall.cancel().await.unwrap();
    assert_eq!(executor.is_paused(&entity), None);
    assert_eq!(recorded(&store).await.len(), 5);
    store.go_away();
    let acted = executor.act(Action::Pause(entity), somebody()).await;
    assert_eq!(acted.done, Err(NotActed::NotRegistered));
    assert!(acted.not_recorded.is_some(), "the store is away");
}

#[tokio::test(start_paused = true)]
async fn a10_an_execution_is_cancelled_by_its_id_however_it_was_begun() {
    let fixture = Fixture::new().await;
    let hanging = fixture.listener("hanging", |_: Arc<Event>| forever()).await;
    let staying = fixture.listener("staying", |_: Arc<Event>| forever()).await;
    let (one, other) = (hanging.invoke(event()), staying.invoke(event()));
    let submitted = fixture.executor.submit(one).unwrap();
    let id = submitted.execution_id();
    let executor = fixture.executor.clone();
    let stays = tokio::spawn(async move { executor.execute(other).await });
    tokio::task::yield_now().await;

    assert!(fixture.executor.cancel_execution(id).await);
    assert_eq!(submitted.await.status(), Status::Cancelled);
    // It has ended, so nobody hears.
    assert!(!fixture.executor.cancel_execution(id).await);
    assert!(!stays.is_finished(), "only the one that was meant");
    fixture.stop().await;
    assert_eq!(stays.await.unwrap().unwrap().status(), Status::Cancelled);
}
