//! Clause G4: the right sentence for why something ran or did not run.

use std::sync::Arc;

use executor_core::ports::{
    MissedReason, MissedRuns, ScheduleStore, Session, SessionEnd, SessionStatus, SessionStore,
};
use executor_core::registration::Overlap;
use executor_core::{Entity, Event, HandlerError, Ledger, SessionId, Timestamp};
use executor_service::{Missed, Schedule};
use tokio::time::sleep;
use uuid::Uuid;

use crate::world::{End, Killed, Life, Stopped, World, micros, minutes};

fn hourly() -> Schedule {
    Schedule::cron("0 * * * *", "UTC").unwrap()
}

/// A process that has the job from half past midnight on, for an hour, and does more.
fn from_half_past(world: &World, end: End, schedule: Schedule, more: impl AsyncFnOnce(&Life)) {
    world.life("00:30", end, async |life| {
        life.job(schedule).await;
        sleep(minutes(60)).await;
        more(life).await;
    });
}

async fn nothing(_: &Life) {}

/// Asks about the backup at several times.
fn check(world: &World, expected: &[(&str, &str)]) {
    for (at, sentence) in expected {
        assert_eq!(world.explain("backup", at), *sentence, "at {at}");
    }
}

#[test]
fn g04_it_ran_however_it_ended() {
    let world = World::default();
    world.life("00:30", Stopped, async |life| {
        life.job(hourly()).await;
        let broken = life.executor.job("house", "broken").schedule(hourly());
        let broken = broken.handler(async || Err(HandlerError::known("no route to attic")));
        broken.register().await.unwrap();
        sleep(minutes(91)).await;
        let hall = life.executor.listener("house", "hall").topic("motion");
        let hall = hall
            .overlap(Overlap::Parallel)
            .handler(async |_: Arc<Event>| Ok(()));
        let hall = hall.register().await.unwrap();
        for _ in 0..3 {
            life.executor
                .execute(hall.invoke(Event::new("motion")))
                .await
                .unwrap();
        }
        sleep(minutes(1)).await;
    });
    check(
        &world,
        &[
            ("01:00", "backup ran at 01:00 and succeeded."),
            ("00:59", "backup ran at 01:00 and succeeded."),
            ("01:01", "backup ran at 01:00 and succeeded."),
            (
                "01:02",
                "backup was not due: its schedule was `0 * * * * UTC`; next was 02:00.",
            ),
            (
                "01:30",
                "backup was not due: its schedule was `0 * * * * UTC`; next was 02:00.",
            ),
            ("02:00", "backup ran at 02:00 and succeeded."),
        ],
    );
    let broken = "broken ran at 01:00 and failed: no route to attic.";
    assert_eq!(world.explain("broken", "01:00"), broken);
    let hall = "hall ran at 02:01 and succeeded; 2 more around that time.";
    assert_eq!(world.explain("hall", "02:01"), hall);
    assert_eq!(
        world.explain("hall", "01:00"),
        "hall did not run: no event reached it."
    );
    assert_eq!(
        world.explain("cellar", "01:00"),
        "cellar is not in this history."
    );
}

#[test]
fn g04_it_was_skipped_by_its_guard_or_an_earlier_run() {
    let world = World::default();
    world.life("00:30", Stopped, async |life| {
        let job = life.executor.job("house", "backup").schedule(hourly());
        let job = job.only_if(|| false).handler_fn(|| async {});
        job.register().await.unwrap();
        let long = life.executor.job("house", "long").schedule(hourly());
        let long = long.timeout(minutes(300)).overlap(Overlap::Single);
        let long = long.handler_fn(async || sleep(minutes(90)).await);
        long.register().await.unwrap();
        sleep(minutes(121)).await;
    });
    let sentence = world.explain("backup", "01:00");
    assert!(
        sentence.starts_with("backup was skipped at 01:00: "),
        "{sentence}"
    );
    assert!(sentence.contains("guard"), "{sentence}");
    let sentence = world.explain("long", "02:00");
    assert!(
        sentence.starts_with("long was skipped at 02:00: "),
        "{sentence}"
    );
    assert!(
        sentence.contains("an earlier run is still in progress"),
        "{sentence}"
    );
}

#[test]
fn g04_it_was_missed_and_why() {
    let world = World::default();
    from_half_past(&world, Stopped, hourly(), async |life: &Life| {
        life.asleep(minutes(160)).await;
        sleep(minutes(60)).await;
    });
    check(
        &world,
        &[
            (
                "02:00",
                "backup did not run: the machine slept; 3 runs were missed, due from 02:00 to 04:00.",
            ),
            (
                "03:00",
                "backup did not run: the machine slept; 3 runs were missed, due from 02:00 to 04:00.",
            ),
            (
                "03:30",
                "backup was not due: its schedule was `0 * * * * UTC`; next was 04:00.",
            ),
            ("05:00", "backup ran at 05:00 and succeeded."),
        ],
    );
    // The run before it, a minute away, is another one.
    let each_minute = World::default();
    let schedule = Schedule::cron("* * * * *", "UTC").unwrap();
    from_half_past(&each_minute, Stopped, schedule, async |life: &Life| {
        sleep(minutes(3)).await;
        life.asleep(minutes(3)).await;
        sleep(minutes(3)).await;
    });
    let missed =
        "backup did not run: the machine slept; 3 runs were missed, due from 01:33 to 01:35.";
    check(
        &each_minute,
        &[
            (
                "01:32",
                "backup ran at 01:32 and succeeded; one more around that time.",
            ),
            ("01:33", missed),
            ("01:34", missed),
            ("01:35", missed),
            (
                "01:37",
                "backup ran at 01:37 and succeeded; 2 more around that time.",
            ),
        ],
    );
    let held = World::default();
    from_half_past(&held, Stopped, hourly(), async |life: &Life| {
        life.held_up(minutes(40)).await;
    });
    check(
        &held,
        &[(
            "02:00",
            "backup was due at 02:00 and did not run: the process was held up.",
        )],
    );
    let set = World::default();
    from_half_past(&set, Stopped, hourly(), async |life: &Life| {
        life.set(minutes(40)).await;
    });
    check(
        &set,
        &[(
            "02:00",
            "backup was due at 02:00 and did not run: the clock was set past its time.",
        )],
    );
    let made_up = World::default();
    let once = hourly().missed(Missed::RunOnce);
    from_half_past(&made_up, Stopped, once, async |life: &Life| {
        life.asleep(minutes(100)).await;
    });
    check(
        &made_up,
        &[
            (
                "02:00",
                "backup was due at 02:00 and did not run: a later run made up for it.",
            ),
            ("03:00", "backup ran at 03:10 and succeeded."),
        ],
    );
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_micros(micros("00:00") + minute * 60_000_000)
}

/// What more than a thousand other jobs missed at two o'clock.
fn of_others(first: u32) -> Vec<MissedRuns> {
    let of_one = |instance| MissedRuns {
        session: None,
        entity: Arc::new(Entity::job("house", instance, "other")),
        reason: MissedReason::HeldUp,
        count: 1,
        first_due: at(120),
        last_due: at(120),
    };
    (first..first + 1_100).map(of_one).collect()
}

#[test]
fn g04_the_answer_is_found_among_thousands_of_others() {
    let world = World::default();
    world.life("00:30", Killed, async |life| {
        life.job(hourly()).await;
        // Processes that come and go while this one lives.
        for number in 1..=1_100 {
            let id = SessionId::from_uuid(Uuid::from_u128(number));
            let session = Arc::new(Session::new(id, "host", at(31)));
            world.store.open_session(session).await.unwrap();
            let end = SessionEnd {
                at: at(32),
                status: SessionStatus::Success,
                failure: None,
                ledger: Ledger::default(),
            };
            world.store.close_session(id, end).await.unwrap();
        }
        sleep(minutes(60)).await;
        world.store.record_missed(of_others(0)).await.unwrap();
    });
    world.life("02:10", Stopped, async |life| {
        life.job(hourly()).await;
        sleep(minutes(5)).await;
        world.store.record_missed(of_others(2_000)).await.unwrap();
    });
    let missed = "backup was due at 02:00 and did not run: no process was running its schedule.";
    check(&world, &[("02:00", missed)]);
}

#[test]
fn g04_nobody_was_there_to_run_it() {
    for (end, how) in [(Stopped, "ended"), (Killed, "was last heard of")] {
        let world = World::default();
        from_half_past(&world, end, hourly(), nothing);
        let absent =
            format!("backup did not run: no process was alive; the last one {how} at 01:30.");
        check(&world, &[("03:00", &absent), ("23:00", &absent)]);
        world.life("04:10", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(60)).await;
        });
        let missed = "backup did not run: no process was running its schedule; 3 runs were missed, due from 02:00 to 04:00.";
        check(
            &world,
            &[
                ("03:00", missed),
                (
                    "03:30",
                    "backup was not due: its schedule was `0 * * * * UTC`; next was 04:00.",
                ),
                ("05:00", "backup ran at 05:00 and succeeded."),
            ],
        );
        let before = "backup did not run: no process was alive; the next one began at 00:30.";
        check(&world, &[("00:10", before)]);
    }
}

#[test]
fn g04_it_was_paused_removed_changed_or_never_scheduled() {
    let world = World::default();
    world.life("00:30", Stopped, async |life| {
        let job = life.job(hourly()).await;
        sleep(minutes(60)).await;
        life.executor.pause_schedule(&job);
        sleep(minutes(15)).await;
        life.executor.resume_schedule(&job);
        sleep(minutes(30)).await;
        life.executor.pause();
        sleep(minutes(60)).await;
        life.executor.resume();
        let half_past = Schedule::cron("30 * * * *", "UTC").unwrap();
        let job = life.job(half_past).await;
        sleep(minutes(60)).await;
        job.cancel().await.unwrap();
        let by_hand = life
            .executor
            .job("house", "by hand")
            .handler_fn(|| async {});
        by_hand.register().await.unwrap();
        sleep(minutes(60)).await;
    });
    check(
        &world,
        &[
            (
                "01:40",
                "backup did not run: backup was paused from 01:30 until 01:45.",
            ),
            ("02:00", "backup ran at 02:00 and succeeded."),
            (
                "02:40",
                "backup did not run: the executor was paused from 02:15 until 03:15.",
            ),
            (
                "03:00",
                "backup was due at 03:00 and did not run: it was paused.",
            ),
            (
                "03:20",
                "backup was not due: its schedule was `30 * * * * UTC`; next was 03:30.",
            ),
            ("03:30", "backup ran at 03:30 and succeeded."),
            ("04:20", "backup did not run: it was removed at 04:15."),
            ("05:00", "backup did not run: it was removed at 04:15."),
        ],
    );
    let on_demand = "by hand did not run: it has no schedule, and nobody triggered it.";
    assert_eq!(world.explain("by hand", "05:00"), on_demand);
}

#[test]
fn g04_it_was_registered_only_later() {
    let world = World::default();
    world.life("00:30", Stopped, async |life| {
        sleep(minutes(60)).await;
        life.job(hourly()).await;
        sleep(minutes(60)).await;
    });
    check(
        &world,
        &[
            (
                "01:00",
                "backup did not run: it was not registered until later.",
            ),
            ("02:00", "backup ran at 02:00 and succeeded."),
        ],
    );
}

#[test]
fn g04_what_may_be_missing_is_no_proof() {
    use executor_core::ports::{Gap, Housekeeping, PruneRule, PruneSlice};
    use executor_core::{DropReason, Entity, Timestamp};
    let at = |text| Timestamp::from_micros(micros(text));
    let lost = |session, entities: Vec<(Arc<Entity>, u64)>| Gap {
        session,
        reason: DropReason::Overflow.into(),
        first_at: at("01:10"),
        last_at: at("01:20"),
        count: 3,
        entities,
    };
    let backup = Arc::new(Entity::job("house", 0, "backup"));
    let other = Arc::new(Entity::job("house", 0, "other"));
    for (entities, sentence) in [
        (
            vec![(backup, 1), (Arc::clone(&other), 2)],
            "cannot tell whether backup ran: 3 records from that time were lost.",
        ),
        (
            vec![(Arc::clone(&other), 2)],
            "cannot tell whether backup ran: 3 records from that time were lost.",
        ),
        (
            vec![(other, 3)],
            "backup was not due: its schedule was `0 * * * * UTC`; next was 02:00.",
        ),
    ] {
        let world = World::default();
        from_half_past(&world, Stopped, hourly(), async |life: &Life| {
            let gap = lost(life.executor.session_id(), entities);
            world.store.record_gaps(vec![gap]).await.unwrap();
        });
        check(
            &world,
            &[
                ("01:15", sentence),
                ("01:00", "backup ran at 01:00 and succeeded."),
            ],
        );
    }
    let world = World::default();
    from_half_past(&world, Stopped, hourly(), async |life: &Life| {
        life.executor.flush().await.unwrap();
        let slice = PruneSlice {
            now: at("01:30"),
            ..PruneSlice::new(PruneRule::EndedBefore(at("01:20")), 10)
        };
        assert_eq!(world.store.prune(slice).await.unwrap(), 1);
    });
    let pruned = "cannot tell whether backup ran: 1 record from around that time was pruned.";
    check(
        &world,
        &[
            ("01:00", pruned),
            (
                "01:25",
                "backup was not due: its schedule was `0 * * * * UTC`; next was 02:00.",
            ),
        ],
    );
}

#[test]
fn g01_the_last_due_times_of_a_job_say_what_became_of_each() {
    let world = World::default();
    world.life("00:30", Stopped, async |life| {
        let backup = life.job(hourly()).await;
        sleep(minutes(100)).await;
        // By hand; it was not due.
        life.executor.execute(backup.run_now()).await.unwrap();
        let other = life.executor.job("house", "other").schedule(hourly());
        other.handler_fn(|| async {}).register().await.unwrap();
        sleep(minutes(5)).await;
    });
    world.life("05:30", Killed, async |life| {
        let backup = life.job(hourly()).await;
        sleep(minutes(40)).await;
        backup.pause();
        sleep(minutes(60)).await;
        backup.resume();
        let long = life.executor.job("house", "backup").schedule(hourly());
        let long = long.handler(async || Err(HandlerError::known("full")));
        long.register().await.unwrap();
        sleep(minutes(60)).await;
    });
    let all = [
        "08:00 error",
        "07:00 1 paused",
        "06:00 success",
        "05:00 3 no_process",
        "02:00 success",
        "01:00 success",
    ];
    assert_eq!(world.due_times(30), all);
    // Those that were missed together count as many as they were.
    assert_eq!(world.due_times(4), all[..4]);
    assert_eq!(world.due_times(3), all[..3]);
    assert_eq!(world.due_times(7), all[..5]);
    assert_eq!(world.due_times(0), [""; 0]);
}
