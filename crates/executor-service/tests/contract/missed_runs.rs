//! Clause F7: what was planned and did not run is in the history, with the count and the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use executor_core::registration::Overlap;
use executor_core::{Timestamp, context};
use executor_service::{CommandExecutor, Missed, Schedule};
use tokio::time::sleep;

use crate::support::{Logs, secs};
use crate::world::{End, Killed, Life, Stopped, World, micros, minutes, shown};

pub(crate) fn hourly() -> Schedule {
    Schedule::cron("0 * * * *", "UTC").unwrap()
}

pub(crate) const ALL: Missed = Missed::RunAll { at_most: 9 };
const TWO: Missed = Missed::RunAll { at_most: 2 };

/// Checks one situation: what the history says in the end.
pub(crate) fn check(name: &str, expected: &str, script: impl FnOnce(&World)) {
    let world = World::default();
    script(&world);
    assert_eq!(world.told(), expected, "{name}");
}

/// What makes runs late.
#[derive(Clone, Copy)]
enum Gap {
    Asleep,
    Set,
    HeldUp,
}

impl Gap {
    async fn open(self, life: &Life, span: Duration) {
        match self {
            Self::Asleep => life.asleep(span).await,
            Self::Set => life.set(span).await,
            Self::HeldUp => life.held_up(span).await,
        }
    }
}

/// From half past midnight to shortly after five, with 160 minutes between half past one and ten past four.
fn night(schedule: Schedule, gap: Gap) -> impl FnOnce(&World) {
    move |world: &World| {
        world.life("00:30", Stopped, async |life| {
            life.job(schedule).await;
            sleep(minutes(60)).await;
            gap.open(life, minutes(160)).await;
            sleep(minutes(60)).await;
        });
    }
}

#[test]
fn f07_runs_that_come_too_late_in_a_living_process_are_told_with_the_reason() {
    let cron = |missed| hourly().missed(missed);
    let every = |missed| Schedule::every(minutes(60)).missed(missed);
    let all_ran = "ran 01:00 02:00 03:00 04:00 05:00";
    for (reason, gap) in [
        ("asleep", Gap::Asleep),
        ("clock_set", Gap::Set),
        ("held_up", Gap::HeldUp),
    ] {
        let run = |name: &str, expected: &str, schedule| {
            check(&format!("{reason}, {name}"), expected, night(schedule, gap));
        };
        let skipped = format!("3 {reason} 02:00-04:00, ran 01:00 05:00");
        run("skipped", &skipped, cron(Missed::Skip));
        let once = "2 superseded 02:00-03:00, ran 01:00 04:00 05:00";
        run("once", once, cron(Missed::RunOnce));
        let two = "1 superseded 02:00-02:00, ran 01:00 03:00 04:00 05:00";
        run("two", two, cron(TWO));
        run("all", all_ran, cron(ALL));
    }
    // What goes by elapsed time stands still while the machine sleeps, and knows no wall clock.
    for gap in [Gap::Asleep, Gap::Set] {
        let world = World::default();
        night(every(Missed::Skip), gap)(&world);
        assert_eq!(world.missed(), []);
    }
    let skipped = "2 held_up 02:30-03:30, ran 01:30 04:30 05:30";
    let late = |schedule: Schedule| {
        move |world: &World| {
            world.life("00:30", Stopped, async |life| {
                life.job(schedule).await;
                sleep(minutes(70)).await;
                life.held_up(minutes(170)).await;
                sleep(minutes(60)).await;
            });
        }
    };
    check("every, on time again", skipped, late(every(Missed::Skip)));
    let once = "2 superseded 02:30-03:30, ran 01:30 04:30 05:30";
    check("every, once", once, late(every(Missed::RunOnce)));
    let all = "ran 01:30 02:30 03:30 04:30 05:30";
    check("every, all", all, late(every(ALL)));
}

#[test]
fn f07_what_falls_into_a_pause_is_told_and_so_is_the_pause() {
    for (what, reason) in [("schedule", 0), ("job", 1), ("executor", 2)] {
        for end in [Stopped, Killed] {
            for resumes in [true, false] {
                let world = World::default();
                world.life("00:30", end, async |life| {
                    let job = life.job(hourly()).await;
                    sleep(minutes(60)).await;
                    match reason {
                        0 => drop(life.executor.pause_schedule(&job)),
                        1 => job.pause(),
                        _ => life.executor.pause(),
                    }
                    sleep(minutes(120)).await;
                    if resumes {
                        match reason {
                            0 => drop(life.executor.resume_schedule(&job)),
                            1 => job.resume(),
                            _ => life.executor.resume(),
                        }
                        sleep(minutes(60)).await;
                    }
                });
                let name = format!("{what}, resumes: {resumes}, killed: {}", end == Killed);
                let expected = match resumes {
                    true => "2 paused 02:00-03:00, ran 01:00 04:00",
                    false => "2 paused 02:00-03:00, ran 01:00",
                };
                assert_eq!(world.told(), expected, "{name}");
                let pauses = world.pauses();
                assert_eq!(pauses.len(), 1, "{name}");
                let entity = pauses[0].entity.as_ref().map(|entity| &*entity.name);
                assert_eq!(entity, Some("backup").filter(|_| reason < 2), "{name}");
                assert_eq!(shown(pauses[0].from), "01:30", "{name}");
                let until = match (resumes, end) {
                    (false, Killed) => None,
                    _ => Some("03:30".to_owned()),
                };
                assert_eq!(pauses[0].until.map(shown), until, "{name}");
            }
        }
    }
}

#[test]
fn f07_what_was_planned_while_no_process_ran_is_told_and_made_up_for_where_asked() {
    // The first process ends at half past one, the second begins at ten past four.
    let restart = |end: End, first: Schedule, second: Schedule| {
        move |world: &World| {
            world.life("00:30", end, async |life| {
                life.job(first).await;
                sleep(minutes(61)).await;
            });
            world.life("04:10", Stopped, async |life| {
                life.job(second).await;
                sleep(minutes(60)).await;
            });
        }
    };
    for end in [Stopped, Killed] {
        let same = |schedule: Schedule| restart(end, schedule.clone(), schedule);
        let told = "3 no_process 02:00-04:00, ran 01:00 05:00";
        for missed in [Missed::Skip, Missed::RunOnce, ALL] {
            check("not persistent", told, same(hourly().missed(missed)));
        }
        check("persistent, skipped", told, same(hourly().persistent()));
        let persistent = |missed| same(hourly().missed(missed).persistent());
        let once = "2 superseded 02:00-03:00, ran 01:00 04:00 05:00";
        check("persistent, once", once, persistent(Missed::RunOnce));
        let two = "1 superseded 02:00-02:00, ran 01:00 03:00 04:00 05:00";
        check("persistent, two", two, persistent(TWO));
        let all = "ran 01:00 02:00 03:00 04:00 05:00";
        check("persistent, all", all, persistent(ALL));
        let every = Schedule::every(minutes(60)).missed(ALL).persistent();
        check("by elapsed time", "ran 01:30 05:10", same(every));
        let at = Timestamp::from_micros(micros("03:00"));
        let once = Schedule::once(at);
        check("once", "1 no_process 03:00-03:00, ran", same(once.clone()));
        let once = once.missed(Missed::RunOnce).persistent();
        check("once, persistent", "ran 03:00", same(once));
        // The schedule of then says what was planned, and the one of now what is made up for.
        let half_past = Schedule::cron("30 * * * *", "UTC").unwrap();
        let changed = "3 no_process 02:00-04:00, ran 01:00 04:30";
        check(
            "changed",
            changed,
            restart(end, hourly(), half_past.clone()),
        );
        let half_past = half_past.missed(Missed::RunOnce).persistent();
        let changed = "2 superseded 02:00-03:00, ran 01:00 04:00 04:30";
        check("changed", changed, restart(end, hourly(), half_past));
    }
}

#[test]
fn f07_nothing_is_missed_of_what_was_not_planned_or_did_run() {
    let first = |world: &World, end| {
        world.life("00:30", end, async |life| {
            life.job(hourly()).await;
            sleep(minutes(60)).await;
        });
    };
    check("the first start", "ran 01:00", |world| {
        first(world, Stopped);
    });
    check("at once again", "ran 01:00 02:00", |world| {
        first(world, Killed);
        world.life("01:31", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(30)).await;
        });
    });
    check(
        "registered twice",
        "1 no_process 02:00-02:00, ran 01:00 03:00",
        |world| {
            first(world, Stopped);
            world.life("02:10", Stopped, async |life| {
                life.job(hourly()).await;
                sleep(minutes(5)).await;
                life.job(hourly()).await;
                sleep(minutes(60)).await;
            });
        },
    );
    check("cancelled before the end", "ran 01:00 05:00", |world| {
        world.life("00:30", Stopped, async |life| {
            let job = life.job(hourly()).await;
            sleep(minutes(60)).await;
            job.cancel().await.unwrap();
        });
        world.life("04:10", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(60)).await;
        });
    });
    check("removed from the program", "ran 01:00", |world| {
        first(world, Stopped);
        world.life("04:10", Stopped, async |_| sleep(minutes(60)).await);
    });
    check(
        "back after a session without it",
        "6 no_process 02:00-07:00, ran 01:00",
        |world| {
            first(world, Stopped);
            world.life("04:10", Stopped, async |_| sleep(minutes(60)).await);
            world.life("07:10", Stopped, async |life| {
                life.job(hourly()).await;
                sleep(minutes(5)).await;
            });
        },
    );
    check("a run in progress", "ran 01:00 03:00", |world| {
        world.life("00:30", Stopped, async |life| {
            let job = life.executor.job("house", "backup").schedule(hourly());
            let job = job.timeout(minutes(120)).handler_fn(async || {
                sleep(minutes(90)).await;
            });
            job.register().await.unwrap();
            sleep(minutes(250)).await;
        });
    });
    check("a guard", "ran", |world| {
        world.life("00:30", Stopped, async |life| {
            let job = life.executor.job("house", "backup").schedule(hourly());
            let job = job.only_if(|| false).handler_fn(|| async {});
            job.register().await.unwrap();
            sleep(minutes(120)).await;
        });
    });
    check(
        "run by hand",
        "2 no_process 02:00-03:00, ran 01:00",
        |world| {
            first(world, Stopped);
            world.life("03:10", Stopped, async |life| {
                let job = life.job(hourly()).await;
                life.executor.execute(job.run_now()).await.unwrap();
                sleep(minutes(5)).await;
            });
        },
    );
}

#[test]
fn f07_where_a_zone_changes_its_clock_nothing_is_missed_twice_or_invented() {
    let berlin = |line| Schedule::cron(line, "Europe/Berlin").unwrap();
    // The hour from two to three does not exist on 29 March: what names a time in it runs at three, at one UTC.
    let sleep_over = |from: &'static str, line: &'static str| {
        move |world: &World| {
            world.life(from, Stopped, async |life| {
                life.job(berlin(line)).await;
                life.asleep(minutes(180)).await;
            });
        }
    };
    let spring = "2026-03-29T00:10";
    check(
        "skipped hour",
        "1 asleep 29.01:00-29.01:00, ran",
        sleep_over(spring, "30 2 * * *"),
    );
    check(
        "rhythm",
        "3 asleep 29.01:00-29.03:00, ran",
        sleep_over(spring, "0 * * * *"),
    );
    let autumn = "2026-10-24T23:40";
    check(
        "repeated hour",
        "1 asleep 25.00:30-25.00:30, ran",
        sleep_over(autumn, "30 2 * * *"),
    );
    check(
        "rhythm twice",
        "3 asleep 25.00:00-25.02:00, ran",
        sleep_over(autumn, "0 * * * *"),
    );
}

#[test]
fn f07_missed_runs_wait_for_a_store_that_is_away() {
    check("away", "3 asleep 02:00-04:00, ran 01:00 05:00", |world| {
        world.life("00:30", Stopped, async |life| {
            life.job(hourly()).await;
            sleep(minutes(60)).await;
            world.store.go_away();
            life.asleep(minutes(160)).await;
            world.store.come_back();
            sleep(minutes(60)).await;
        });
    });
    check(
        "registered while it was away",
        "3 no_process 02:00-04:00, ran 01:00",
        |world| {
            world.life("00:30", Stopped, async |life| {
                life.job(hourly()).await;
                sleep(minutes(60)).await;
            });
            world.life("04:10", Stopped, async |life| {
                world.store.go_away();
                life.job(hourly()).await;
                sleep(minutes(20)).await;
                world.store.come_back();
                sleep(minutes(20)).await;
            });
        },
    );
}

#[test]
fn f07_two_living_processes_that_schedule_the_same_job_are_warned() {
    let (world, logs) = (World::default(), Logs::listen());
    let (logs, _listening) = logs;
    world.life("00:30", Stopped, async |life| {
        life.job(hourly()).await;
        let builder = CommandExecutor::builder(world.store.clone()).clock(life.machine.clone());
        let other = Life {
            executor: builder.start().await.unwrap(),
            machine: life.machine.clone(),
        };
        sleep(minutes(100)).await;
        other.job(hourly()).await;
        sleep(minutes(1)).await;
        let warnings = logs.of("WARN");
        let message = &warnings.last().unwrap().fields["message"];
        assert!(
            message.contains("another process schedules the same job"),
            "{message}"
        );
        other.executor.shutdown(secs(5)).await;
    });
    assert_eq!(world.missed(), []);
}

#[test]
fn f07_run_all_runs_one_after_the_other_under_every_overlap_rule() {
    for overlap in Overlap::ALL {
        let world = World::default();
        world.life("00:30", Stopped, async |life| {
            let (most, now) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
            let seen = (Arc::clone(&most), Arc::clone(&now));
            let job = life
                .executor
                .job("house", "backup")
                .schedule(hourly().missed(ALL));
            let job = job.overlap(overlap).handler_fn(move || {
                let (most, now) = (Arc::clone(&seen.0), Arc::clone(&seen.1));
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    context::line("working");
                    sleep(secs(5)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                }
            });
            job.register().await.unwrap();
            life.asleep(minutes(220)).await;
            sleep(minutes(1)).await;
            assert_eq!(most.load(Ordering::SeqCst), 1, "{overlap:?}");
        });
        assert_eq!(world.told(), "ran 01:00 02:00 03:00 04:00", "{overlap:?}");
    }
}
