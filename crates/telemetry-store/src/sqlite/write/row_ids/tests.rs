//! Ids under adversarial times: the work for each is counted, and every query finds every row.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::InstrumentationEvent;
use proptest::prelude::*;

use super::*;

/// A database with a session, and how many statements it was asked since.
struct Database {
    connection: SqliteConnection,
    statements: Arc<AtomicUsize>,
    rows: i64,
}

impl Database {
    fn new() -> Self {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        crate::sqlite::migrations::up(&mut connection).unwrap();
        let session = "INSERT INTO sessions (id, session_uuid, host, pid, started_us, heartbeat_us, status) \
                       VALUES (1, x'00', 'attic', 1, 0, 0, 'running')";
        connection.batch_execute(session).unwrap();
        let statements = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&statements);
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            connection,
            statements,
            rows: 0,
        }
    }

    /// Gives ids out and writes rows under them. Returns how many statements it took to give them out.
    fn store(&mut self, times: &[i64]) -> (Vec<i64>, usize) {
        let before = self.statements.load(Ordering::Relaxed);
        let recorded = times.iter().copied().map(Timestamp::from_micros);
        let ids = give_out(&mut self.connection, recorded).unwrap();
        let asked = self.statements.load(Ordering::Relaxed) - before;
        self.connection
            .transaction::<_, diesel::result::Error, _>(|connection| {
                for (id, ended) in ids.iter().zip(times) {
                    self.rows += 1;
                    let row = self.rows;
                    connection.batch_execute(&format!(
                        "INSERT INTO executions (id, execution_id, kind, status, session_id, start_us, duration_us) \
                         VALUES ({id}, x'{row:032x}', 0, 0, 1, {ended}, 0)"
                    ))?;
                }
                Ok(())
            })
            .unwrap();
        (ids, asked)
    }

    fn roll_up(&mut self) {
        while crate::sqlite::write::rollup::roll_up(&mut self.connection).unwrap() {}
    }
}

const NOON: i64 = 1_800_000_000_000_000;

/// A clock that does what clocks do, and some that do not.
#[derive(Clone, Debug)]
enum Step {
    Stands,
    Ticks(i64),
    /// So many records in one microsecond each.
    Jumps(i64),
    /// Times in no order, inside of a stretch.
    Scattered(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Stands),
        (1_i64..50).prop_map(Step::Ticks),
        prop_oneof![
            -3_i64..3,
            -2_000_000_i64..2_000_000,
            Just(86_400_000_000),
            Just(-86_400_000_000)
        ]
        .prop_map(Step::Jumps),
        (1_i64..3_000).prop_map(Step::Scattered),
    ]
}

fn times(clock: &mut i64, step: &Step, count: usize) -> Vec<i64> {
    let spread = |place: usize| (place as i64).wrapping_mul(2_654_435_761);
    if let Step::Jumps(by) = step {
        *clock += by;
    }
    (0..count)
        .map(|place| match step {
            Step::Stands | Step::Jumps(_) => *clock,
            Step::Ticks(by) => {
                // More than one in each microsecond, or less.
                *clock += i64::from(place % 7 == 0) * by / 10;
                *clock
            }
            Step::Scattered(over) => *clock + spread(place).rem_euclid(*over),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn c12_whatever_the_clock_does_an_id_is_free_never_early_and_found_with_little_work(
        steps in proptest::collection::vec((steps(), 1_usize..400, any::<bool>()), 1..30),
    ) {
        let mut database = Database::new();
        let (mut clock, mut taken) = (NOON, HashSet::new());
        let mut farthest = 0;
        for (step, count, rolls_up) in steps {
            let times = times(&mut clock, &step, count);
            let (ids, asked) = database.store(&times);
            for (id, time) in ids.iter().zip(&times) {
                prop_assert!(id >= time, "an id lies before its time");
                prop_assert!(taken.insert(*id), "an id was given out twice");
                farthest = farthest.max(id - time);
            }
            // A mark, the least displacement, then a window for some tens of rows each; at worst the doubling and
            // halving of one run a row.
            let log = taken.len().ilog2() as usize + 2;
            prop_assert!(asked <= 8 + count * (2 + 2 * log), "{asked} statements for {count} rows");
            if rolls_up {
                database.roll_up();
            }
        }
        prop_assert!(displacement(&mut database.connection).unwrap() >= farthest);
    }
}

/// A burst that goes on: each batch lies wholly inside of what is taken already.
#[test]
fn c12_a_batch_inside_a_long_run_takes_as_few_statements_as_one_at_the_end() {
    let mut database = Database::new();
    for batch in 0..300_i64 {
        // Ten records a microsecond.
        let times: Vec<i64> = (0..1_000)
            .map(|record| NOON + batch * 100 + record / 10)
            .collect();
        let (ids, asked) = database.store(&times);
        assert!(asked < 60, "{asked} statements in batch {batch}");
        assert_eq!(ids[0], NOON + batch * 1_000, "a run has no holes");
    }
}

/// Two that write by turns, one of them what lay in its spool since an hour ago.
#[test]
fn c12_a_takeover_beside_a_living_writer_takes_few_statements() {
    let mut database = Database::new();
    for batch in 0..200_i64 {
        let now: Vec<i64> = (0..10)
            .map(|record| NOON + batch * 10_000 + record * 1_000)
            .collect();
        let (ids, asked) = database.store(&now);
        assert_eq!(ids, now);
        assert!(asked < 5, "{asked} statements");
        // Three records a microsecond, an hour ago.
        let start = NOON - 3_600_000_000;
        let then: Vec<i64> = (0..1_000)
            .map(|record| start + (batch * 1_000 + record) / 3)
            .collect();
        let (_, asked) = database.store(&then);
        assert!(asked < 60, "{asked} statements in batch {batch}");
    }
}

#[test]
fn what_was_just_missed_by_the_rollups_goes_behind_them_and_what_is_older_stays_at_its_time() {
    let mut database = Database::new();
    database.store(&[NOON]);
    database.roll_up();
    let (ids, _) = database.store(&[NOON - 1_000_000, NOON, NOON + 1, NOON - 1_000_001]);
    assert_eq!(ids, [NOON + 1, NOON + 2, NOON + 3, NOON - 1_000_001]);
}

#[test]
fn a_displacement_is_kept_once_it_is_more_than_every_query_allows_for() {
    let mut database = Database::new();
    let connection = &mut database.connection;
    assert_eq!(displacement(connection).unwrap(), 2_000_000);
    keep_displacement(connection, 2_000_000).unwrap();
    assert_eq!(kept(connection).unwrap(), 0);
    displaces_nothing_yet(connection).unwrap();
    keep_displacement(connection, 2_000_001).unwrap();
    assert_eq!(kept(connection).unwrap(), 3_001);
    keep_displacement(connection, 3_001_000).unwrap();
    assert_eq!(kept(connection).unwrap(), 3_001, "it covers that already");
    assert_eq!(displacement(connection).unwrap(), 3_001_000);
    keep_displacement(connection, i64::MAX).unwrap();
    assert_eq!(kept(connection).unwrap(), i64::from(i32::MAX));
}

#[test]
fn e07_a_database_that_does_not_say_how_far_ids_lie_from_their_times_is_looked_through() {
    let mut database = Database::new();
    let row = "INSERT INTO executions (id, execution_id, kind, status, session_id, start_us, duration_us) \
               VALUES (1000, x'01', 0, 0, 1, 10, 20), (9000000, x'02', 0, 0, 1, 1000, 0)";
    database.connection.batch_execute(row).unwrap();
    // What a takeover writes in the meantime counts, and does not end the look.
    keep_displacement(&mut database.connection, 3_000_000).unwrap();
    assert_eq!(displacement(&mut database.connection).unwrap(), 4_500_000);
    let mut measuring = Some(Measuring::new());
    let mut slices = 0;
    while let Some(left) = measuring {
        measuring = left.go_on(&mut database.connection).unwrap();
        slices += 1;
    }
    assert_eq!(slices, 2, "one slice of rows, and one that finds none");
    assert!(displacement(&mut database.connection).unwrap() >= 8_999_000);
    // And never again.
    let again = Measuring::new().go_on(&mut database.connection).unwrap();
    assert!(again.is_none());
}

#[test]
fn a_database_that_has_nothing_displaced_says_so() {
    let mut database = Database::new();
    database.store(&[NOON]);
    let left = Measuring::new().go_on(&mut database.connection).unwrap();
    let left = left.unwrap().go_on(&mut database.connection).unwrap();
    assert!(left.is_none());
    assert_eq!(kept(&mut database.connection).unwrap(), NOTHING_YET);
}

#[test]
fn where_there_is_no_id_left_above_the_last_one_is_given_out_again() {
    let mut database = Database::new();
    database.store(&[i64::MAX, i64::MAX - 1]);
    let recorded = [i64::MAX, i64::MAX - 1].map(Timestamp::from_micros);
    let ids = give_out(&mut database.connection, recorded.into_iter()).unwrap();
    assert_eq!(
        ids,
        [i64::MAX; 2],
        "whoever writes the row is told that it is taken"
    );
}
