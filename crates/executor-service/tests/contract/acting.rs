//! Clause J02: what people ask of a running executor is done or refused, and recorded either way.

use std::sync::Arc;

use executor_core::context::cancellation;
use executor_core::ports::{
    Action, ActionError, Actions, History, PageRequest, RecordedAction, Requester, Window,
};
use executor_core::registration::Overlap;
use executor_core::{Entity, Event, ExecutionId, Refused, Status, Timestamp, current_execution_id};
use executor_service::{CommandExecutor, Config};
use executor_testkit::MemoryStore;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::support::{Fixture, Line, Logs, event, secs};

async fn started() -> (MemoryStore, CommandExecutor) {
    let store = MemoryStore::new();
    let executor = CommandExecutor::builder(store.clone()).start().await;
    (store, executor.unwrap())
}

fn somebody() -> Requester {
    Requester {
        who: "somebody".into(),
        origin: "192.0.2.1:50000".into(),
    }
}

async fn recorded(store: &MemoryStore) -> Vec<RecordedAction> {
    let page = store.actions(Window::default(), PageRequest::default());
    page.await.unwrap().items
}

async fn act(
    executor: &CommandExecutor,
    action: Action,
) -> Result<Option<ExecutionId>, ActionError> {
    let acted = executor.act(action, somebody()).await;
    assert!(acted.not_recorded.is_none());
    acted.done
}

#[tokio::test(start_paused = true)]
async fn j02_what_people_ask_for_is_done_and_recorded() {
    let (store, executor) = started().await;
    let job = executor.job("house", "backup").handler_fn(|| async {});
    let job = job.register().await.unwrap();
    let entity = Arc::clone(&job.job().registration.entity);
    assert_eq!(executor.is_paused(&entity), Some(false));

    let paused = act(&executor, Action::Pause(Arc::clone(&entity))).await;
    assert_eq!(paused, Ok(None));
    assert_eq!(executor.is_paused(&entity), Some(true));
    let refused = act(&executor, Action::Run(Arc::clone(&entity))).await;
    assert_eq!(refused, Err(ActionError::Refused(Refused::Paused)));
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
    let began = format!("submitted {begun}");
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
        assert_eq!(action.target, "job house/backup");
        assert_eq!(
            (action.who.as_str(), action.origin.as_str()),
            ("somebody", "192.0.2.1:50000")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn j02_what_cannot_be_done_is_recorded_as_well() {
    let (store, executor) = started().await;
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
        assert_eq!(
            act(&executor, action).await,
            Err(ActionError::NotRegistered)
        );
    }
    assert_eq!(
        act(&executor, Action::Run(Arc::clone(&entity))).await,
        Err(ActionError::NotAJob)
    );
    let id = ExecutionId::new(Timestamp::from_micros(1));
    assert_eq!(
        act(&executor, Action::Cancel(id)).await,
        Err(ActionError::NotHeard)
    );
    hall.cancel().await.unwrap();
    assert_eq!(executor.is_paused(&entity), None);
    assert_eq!(recorded(&store).await.len(), 5);
    store.go_away();
    let acted = executor.act(Action::Pause(entity), somebody()).await;
    assert_eq!(acted.done, Err(ActionError::NotRegistered));
    assert!(acted.not_recorded.is_some(), "the store is away");
}

/// What is said of an action that the history does not have is in the log, all of it.
#[tokio::test(start_paused = true)]
async fn j02_what_the_store_does_not_take_is_in_the_log() {
    let (store, executor) = started().await;
    let job = executor.job("house", "backup").handler_fn(|| async {});
    let job = job.register().await.unwrap();
    let entity = Arc::clone(&job.job().registration.entity);
    let (logs, _listening) = Logs::listen();
    store.go_away();
    let paused = executor
        .act(Action::Pause(Arc::clone(&entity)), somebody())
        .await;
    assert_eq!(paused.done, Ok(None));
    assert!(paused.not_recorded.is_some());
    let lines = logs.of("ERROR");
    let is_it = |it: &&Line| it.fields["message"] == "action not recorded";
    let line = lines.iter().find(is_it).unwrap();
    for (field, wanted) in [
        ("action", "pause"),
        ("target", "job house/backup"),
        ("outcome", "paused"),
        ("who", "somebody"),
        ("origin", "192.0.2.1:50000"),
    ] {
        assert_eq!(line.fields[field], wanted, "{line:?}");
    }
    // A store that is back before it is given up has it.
    let (resumed, ()) = tokio::join!(executor.act(Action::Resume(entity), somebody()), async {
        sleep(secs(2)).await;
        store.come_back();
    });
    assert!(resumed.not_recorded.is_none());
    assert_eq!(recorded(&store).await[0].outcome, "resumed");
}

#[tokio::test(start_paused = true)]
async fn j02_a_shutdown_waits_for_what_somebody_asked_for() {
    let (store, executor) = started().await;
    // Nobody waits for the answer, which takes two seconds.
    let id = ExecutionId::new(Timestamp::from_micros(1));
    drop(executor.act(Action::Cancel(id), somebody()));
    executor.shutdown(secs(5)).await;
    let recorded = recorded(&store).await;
    assert_eq!(recorded.len(), 1);
    assert!(recorded[0].outcome.starts_with("not done"), "{recorded:?}");
}

/// Tells its id and never ends.
fn tells(ids: &mpsc::UnboundedSender<ExecutionId>) -> impl Fn() -> Forever + Send + Sync + 'static {
    let ids = ids.clone();
    move || {
        ids.send(current_execution_id().unwrap()).unwrap();
        Box::pin(std::future::pending())
    }
}

type Forever = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test(start_paused = true)]
async fn a10_an_execution_is_cancelled_by_its_id_however_it_was_begun() {
    let fixture = Fixture::new().await;
    let executor = &fixture.executor;
    let (tell, mut told) = mpsc::unbounded_channel();
    let job = async |name: &str, overlap| {
        let job = executor.job("house", name).overlap(overlap);
        job.handler_fn(tells(&tell)).register().await.unwrap()
    };
    let (one, lined) = (
        job("one", Overlap::Parallel).await,
        job("lined", Overlap::Queued).await,
    );
    let wrapping = executor.job("house", "wrapping").for_wrapping().register();
    let wrapping = wrapping.await.unwrap();
    let stays = executor.submit(one.run_now()).unwrap();
    let stays_id = told.recv().await.unwrap();

    // Submitted, executed by its caller, waiting in line, and wrapped.
    let submitted = executor.submit(one.run_now()).unwrap();
    assert!(executor.cancel_execution(told.recv().await.unwrap()).await);
    assert_eq!(submitted.await.status(), Status::Cancelled);
    let (executed, ()) = tokio::join!(executor.execute(one.run_now()), async {
        let id = told.recv().await.unwrap();
        assert!(executor.cancel_execution(id).await);
    });
    assert_eq!(executed.unwrap().status(), Status::Cancelled);
    let first = executor.submit(lined.run_now()).unwrap();
    let waits = executor.submit(lined.run_now()).unwrap();
    let first_id = told.recv().await.unwrap();
    assert!(executor.cancel_execution(waits.execution_id()).await);
    assert_eq!(waits.await.status(), Status::Cancelled);
    assert!(executor.cancel_execution(first_id).await);
    assert_eq!(first.await.status(), Status::Cancelled);
    let (wrapped, ()) = tokio::join!(wrapping.wrap(async { tells(&tell)().await }), async {
        let id = told.recv().await.unwrap();
        assert!(executor.cancel_execution(id).await);
    });
    assert_eq!(wrapped.unwrap().result.status(), Status::Cancelled);

    // What has ended hears nothing, and nobody else was meant.
    assert!(!executor.cancel_execution(first_id).await);
    assert_eq!(executor.running(), 1);
    assert!(executor.cancel_execution(stays_id).await);
    assert_eq!(stays.await.status(), Status::Cancelled);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a10_one_that_is_cancelled_by_its_id_has_its_grace() {
    let config = Config::default().with_cancel_grace(secs(2));
    let fixture = Fixture::with(config).await;
    let polite = fixture.listener("polite", |_: Arc<Event>| async {
        cancellation().cancelled().await;
        sleep(secs(1)).await;
        Ok(())
    });
    let submitted = fixture
        .executor
        .submit(polite.await.invoke(event()))
        .unwrap();
    assert!(
        fixture
            .executor
            .cancel_execution(submitted.execution_id())
            .await
    );
    assert_eq!(submitted.await.status(), Status::Success);
    fixture.stop().await;
}
