//! Clause A20: what is recorded, and what the hook keeps out of it.

use std::borrow::Cow;
use std::sync::Arc;

use executor_core::record::Trigger;
use executor_core::redact::{Redact, TextKind};
use executor_core::{Event, HandlerError, HandlerFailure, Outcome};

use crate::support::{Fixture, Logs};

on_both_runtimes!(
    a20_arguments_are_recorded_only_if_asked_for,
    a20_the_hook_sees_every_text_whole_and_before_the_record_is_offered,
    a20_of_a_text_whose_redaction_panics_nothing_is_kept,
    a20_the_hook_sees_why_a_run_was_skipped,
    a20_a_secret_that_lies_on_the_cut_is_seen_whole,
    a12_of_a_long_id_the_middle_is_left_out_after_the_hook_has_seen_it,
);

async fn a20_arguments_are_recorded_only_if_asked_for() {
    let fixture = Fixture::new().await;
    let silent = fixture.executor.job("lights", "silent");
    let silent = silent.handler_fn(|| async {}).register().await.unwrap();
    let open = fixture
        .executor
        .job("lights", "open")
        .record_arguments("[1]");
    let open = open.handler_fn(|| async {}).register().await.unwrap();
    fixture.executor.execute(silent.run_now()).await.unwrap();
    fixture.executor.execute(open.run_now()).await.unwrap();
    fixture.run_once(|_: Arc<Event>| async { Ok(()) }).await;
    let arguments: Vec<Option<Box<str>>> = fixture
        .stored()
        .await
        .into_iter()
        .map(|record| record.arguments_json)
        .collect();
    assert_eq!(arguments, [None, Some("[1]".into()), None]);
}

/// Puts a star in place of every digit.
struct Digits;

impl Redact for Digits {
    fn redact<'t>(&self, _: TextKind, text: &'t str) -> Cow<'t, str> {
        if text.contains("xyzzy") {
            panic!("over my dead body");
        }
        Cow::Owned(text.replace(|c: char| c.is_ascii_digit(), "*"))
    }
}

async fn a20_the_hook_sees_every_text_whole_and_before_the_record_is_offered() {
    let fixture = Fixture::redacting(Digits).await;
    let (logs, _listening) = Logs::listen();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let builder = fixture.builder("tells").topic("motion.hall");
    let builder = builder.on_error(move |failure: HandlerFailure| {
        let _ = sender.send(failure.failure);
        async {}
    });
    // The second secret would lie on the cut of a long message.
    let text = format!(
        "pin 1234 {} 777{}\nand 5",
        "x".repeat(1_480),
        "7".repeat(2_000)
    );
    let handler = move |_: Arc<Event>| {
        let text = text.clone();
        async move { Err(HandlerError::named("code 42", text)) }
    };
    let listener = builder.handler(handler).register().await.unwrap();
    let secret = Event::new("motion.8").with_id("id 9").with_origin("host 9");
    let command = listener.invoke(secret);
    let result = fixture.executor.execute(command).await.unwrap();
    let told = told.recv().await.unwrap();
    let job = fixture.executor.job("lights", "j").record_arguments("[66]");
    let job = job.handler_fn(|| async {}).register().await.unwrap();
    fixture.executor.execute(job.run_now()).await.unwrap();
    let records = fixture.stored().await;
    let failure = records[0].failure.as_ref().unwrap();
    assert_eq!(failure, result.outcome.failure().unwrap());
    assert_eq!(*failure, told);
    let texts = [
        &*failure.error_type,
        failure
            .message
            .split("characters")
            .next()
            .unwrap_or_default(),
        records[0].trigger.id().unwrap(),
        records[0].trigger.origin().unwrap(),
        records[1].arguments_json.as_deref().unwrap(),
    ];
    assert_eq!(texts[0], "code **");
    assert!(texts[1].starts_with("pin ****"));
    assert_eq!(texts[2..], ["id *", "host *", "[**]"]);
    assert!(!failure.message.contains('7'), "half a secret is one too");
    let report = failure.report.as_ref().unwrap();
    assert!(
        !report.contains("777") && report.ends_with("and *"),
        "{report}"
    );
    // An execution's id is drawn at random, and may have any digits.
    let mut lines = logs.of("ERROR");
    lines
        .iter_mut()
        .for_each(|line| drop(line.fields.remove("execution.id")));
    let logged = format!("{lines:?}");
    assert!(logged.contains("and *") && logged.contains("topic motion.*"));
    assert!(!logged.contains("1234") && !logged.contains("777"));
}

async fn a20_of_a_text_whose_redaction_panics_nothing_is_kept() {
    let fixture = Fixture::redacting(Digits).await;
    fixture
        .run_once(|_: Arc<Event>| async { Err("xyzzy 12".into()) })
        .await;
    let failure = fixture.only_record().await.failure.unwrap();
    assert_eq!(failure.message, "<the redaction hook panicked>");
    assert!(!failure.report.as_ref().unwrap().contains("12"));
}

async fn a20_the_hook_sees_why_a_run_was_skipped() {
    let fixture = Fixture::redacting(Digits).await;
    let builder = fixture.builder("guarded").only_if(|_: &Event| false);
    let builder = builder.details(|details| details.guard_description = Some("pin 1234".into()));
    let listener = builder.handler(|_: Arc<Event>| async { Ok(()) });
    let outcome = fixture.run(&listener.register().await.unwrap()).await;
    assert_eq!(outcome, Outcome::Skipped("guard: pin ****".into()));
    let failure = fixture.only_record().await.failure.unwrap();
    assert_eq!(failure.message, "guard: pin ****");
}

/// Knows one word, and not the half of it.
struct Word;

impl Redact for Word {
    fn redact<'t>(&self, _: TextKind, text: &'t str) -> Cow<'t, str> {
        Cow::Owned(text.replace("swordfish", "*"))
    }
}

async fn a20_a_secret_that_lies_on_the_cut_is_seen_whole() {
    let fixture = Fixture::redacting(Word).await;
    // One after the other, so that the cut is somewhere among them.
    let text = format!("{}\nthe end", "swordfish".repeat(2_000));
    let handler = move |_: Arc<Event>| {
        let text = text.clone();
        async move { Err(text.into()) }
    };
    fixture.run_once(handler).await;
    let failure = fixture.only_record().await.failure.unwrap();
    for text in [&failure.message, failure.report.as_ref().unwrap()] {
        assert!(text.ends_with("the end"), "{text}");
        assert!(!text.contains("fish") && !text.contains("sword"), "{text}");
    }
}

async fn a12_of_a_long_id_the_middle_is_left_out_after_the_hook_has_seen_it() {
    for (fixture, word) in [
        (Fixture::redacting(Word).await, "*"),
        (Fixture::new().await, "swordfish"),
    ] {
        let listener = fixture.executor.listener("lights", "noop").topic("#");
        let listener = listener.handler_fn(|| async {}).register().await.unwrap();
        let event = Event::new("t").with_id("swordfish".repeat(1_000));
        let run = fixture.executor.execute(listener.invoke(Arc::new(event)));
        run.await.unwrap();
        let Trigger::Event { id: Some(id), .. } = fixture.only_record().await.trigger else {
            panic!("it has an id");
        };
        assert!(
            id.starts_with(word) && id.ends_with('h') == (word != "*"),
            "{id}"
        );
        assert!(id.chars().count() <= 256 && id.contains("left out"), "{id}");
        assert_eq!(id.contains("fish"), word == "swordfish", "{id}");
    }
}
