//! Clause F7, where neither signs of life nor rows say how far a schedule was followed: runs that wait in line, runs
//! that are not recorded, runs that jitter delays, and runs that make up for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use executor_core::Clock;
use executor_core::ports::{History, PageRequest};
use executor_core::registration::Overlap;
use executor_service::{CommandExecutor, Config, JobHandle, Missed, Recording, Schedule};
use executor_testkit::FaultyStore;
use tokio::time::sleep;

use crate::missed_runs::{ALL, check, hourly};
use crate::spool::life;
use crate::support::secs;
use crate::world::{Killed, Life, Machine, Stopped, World, minutes, shown};

/// The job, each run of which takes so long and is counted.
async fn slow(life: &Life, schedule: Schedule, overlap: Overlap, took: Duration) -> JobHandle {
    let job = life.executor.job("house", "backup").schedule(schedule);
    let job = job.no_timeout().overlap(overlap);
    job.handler_fn(move || sleep(took))
        .register()
        .await
        .unwrap()
}

#[test]
fn f07_a_run_that_waited_in_line_when_its_process_was_killed_is_told() {
    let name = "the first goes on for 95 minutes";
    check(name, "2 no_process 02:00-03:00, ran 01:00", |world| {
        world.life("00:30", Killed, async |life| {
            slow(life, hourly(), Overlap::Queued, minutes(95)).await;
            // It began at one, two o'clock's at 02:35, and three o'clock's waits.
            sleep(minutes(155)).await;
        });
        world.life("03:07", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(1)).await;
        });
    });
    check("nothing waits", "ran 01:00 02:00", |world| {
        world.life("00:30", Killed, async |life| {
            slow(life, hourly(), Overlap::Queued, minutes(20)).await;
            sleep(minutes(115)).await;
        });
        world.life("02:27", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(1)).await;
        });
    });
    check("stopped", "1 no_process 03:00-03:00, ran 01:00", |world| {
        world.life("00:30", Stopped, async |life| {
            slow(life, hourly(), Overlap::Queued, minutes(85)).await;
            sleep(minutes(140)).await;
        });
        world.life("03:07", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(1)).await;
        });
    });
}

#[test]
fn f07_what_makes_up_for_others_and_waits_in_line_is_owed_by_the_next_process() {
    let persistent = || hourly().missed(Missed::RunOnce).persistent();
    let name = "one by hand goes on for an hour";
    check(name, "2 superseded 02:00-03:00, ran 01:00 04:00", |world| {
        world.life("00:30", Killed, async |life| {
            life.job(persistent()).await;
            sleep(minutes(60)).await;
        });
        world.life("04:10", Killed, async |life| {
            let job = slow(life, persistent(), Overlap::Queued, minutes(60)).await;
            let by_hand = life.executor.submit(job.run_now()).unwrap();
            sleep(minutes(10)).await;
            drop(by_hand);
        });
        world.life("04:30", Stopped, async |life| {
            life.job(persistent()).await;
            sleep(minutes(1)).await;
        });
    });
}

/// Only what goes wrong is recorded.
fn anomalies() -> Config {
    Config::default().with_record_app(Recording::Anomalies {
        slower_than: minutes(60),
        sample_one_in: 0,
    })
}

#[test]
fn f07_a_run_that_is_not_recorded_is_neither_missed_nor_made_up_for() {
    let jitter = || hourly().jitter(minutes(10));
    for (schedule, end, until) in [
        // It began within ten minutes.
        (jitter(), Stopped, minutes(41)),
        // The last sign of life was half a minute before its end.
        (hourly(), Killed, minutes(30) + secs(20)),
        (jitter(), Killed, minutes(41)),
    ] {
        let (world, runs) = (World::default(), Arc::new(AtomicU64::new(0)));
        let schedule = schedule.missed(Missed::RunOnce).persistent();
        let register = async |life: &Life| {
            let runs = Arc::clone(&runs);
            let job = life.executor.job("house", "backup");
            let job = job.schedule(schedule.clone()).handler_fn(move || {
                runs.fetch_add(1, Ordering::SeqCst);
                async {}
            });
            job.register().await.unwrap();
        };
        world.life_with(anomalies(), "00:30", end, async |life| {
            register(life).await;
            sleep(until).await;
        });
        world.life_with(anomalies(), "01:13", Stopped, async |life| {
            register(life).await;
            sleep(minutes(1)).await;
        });
        assert_eq!(world.told(), "ran", "{schedule:?}");
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{schedule:?}");
    }
}

#[test]
fn f07_a_run_that_jitter_delays_outlives_a_registration_of_the_same_schedule() {
    let jitter = || hourly().jitter(minutes(50));
    check("registered again each minute", "ran 01:00", |world| {
        world.life("00:30", Stopped, async |life| {
            for _ in 0..85 {
                life.job(jitter()).await;
                sleep(minutes(1)).await;
            }
        });
    });
}

#[test]
fn f07_a_paused_schedule_makes_up_for_nothing() {
    let persistent = || hourly().missed(ALL).persistent();
    let expected = "3 paused 02:00-04:00, ran 01:00";
    check("paused at once", expected, |world| {
        world.life("00:30", Stopped, async |life| {
            life.job(persistent()).await;
            sleep(minutes(60)).await;
        });
        world.life("04:10", Killed, async |life| {
            let job = life.job(persistent()).await;
            assert!(life.executor.pause_schedule(&job));
            sleep(minutes(5)).await;
        });
        world.life("04:20", Stopped, async |life| {
            life.job(persistent()).await;
            sleep(minutes(1)).await;
        });
    });
}

#[test]
fn f07_a_removed_job_leaves_nothing_untold_of_what_it_was_making_up_for() {
    let persistent = || hourly().missed(ALL).persistent();
    let expected = "2 no_process 03:00-04:00, ran 01:00 02:00";
    check("removed in the midst", expected, |world| {
        world.life("00:30", Stopped, async |life| {
            life.job(persistent()).await;
            sleep(minutes(60)).await;
        });
        world.life("04:10", Stopped, async |life| {
            let job = slow(life, persistent(), Overlap::Single, minutes(5)).await;
            sleep(minutes(2)).await;
            job.cancel().await.unwrap();
            sleep(minutes(20)).await;
        });
        world.life("04:50", Stopped, async |life| {
            life.job(persistent()).await;
            sleep(minutes(1)).await;
        });
    });
}

#[test]
fn f07_what_the_store_refuses_for_good_keeps_no_other_waiting() {
    let world = World::default();
    life(async {
        let machine = Machine::at("00:30");
        let store = FaultyStore::new(world.store.clone());
        store.refuse_in(Some("recording missed runs"));
        let builder = CommandExecutor::builder(store.clone()).clock(machine.clone());
        let executor = builder.start().await.unwrap();
        let life = Life { executor, machine };
        let job = life.job(hourly()).await;
        life.asleep(minutes(160)).await;
        assert!(life.executor.pause_schedule(&job));
        sleep(minutes(1)).await;
        store.refuse_in(None);
        sleep(minutes(60)).await;
        life.executor.shutdown(secs(5)).await;
    });
    assert_eq!(world.pauses().len(), 1);
    assert_eq!(world.told(), "1 paused 04:00-04:00, ran");
}

#[test]
fn f07_what_is_run_one_after_the_other_waits_for_the_next_process() {
    let name = "five hours asleep, twenty minutes a run";
    let expected = "4 no_process 02:00-05:00, ran 01:00";
    check(name, expected, |world| {
        world.life("00:30", Killed, async |life| {
            let all = hourly().missed(ALL);
            slow(life, all, Overlap::Single, minutes(20)).await;
            life.asleep(minutes(280)).await;
            // One o'clock's has ended, two o'clock's goes on and dies without a spool to tell of it.
            sleep(minutes(25)).await;
        });
        world.life("05:40", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(1)).await;
        });
    });
}

#[test]
fn f07_signs_of_life_go_on_where_the_sessions_row_was_lost() {
    let world = World::default();
    world.life("00:30", Stopped, async |life| {
        let job = life.job(hourly()).await;
        sleep(minutes(1)).await;
        world.store.forget_sessions();
        assert!(life.executor.pause_schedule(&job));
        sleep(minutes(2)).await;
        let sessions = world.store.sessions(PageRequest::default()).await.unwrap();
        let seen = sessions.items[0].heartbeat_at;
        let now = life.machine.now().wall;
        assert!(
            now.saturating_duration_since(seen) < minutes(1),
            "{}",
            shown(seen)
        );
    });
    assert_eq!(world.pauses().len(), 1);
}
