//! Tests of `losses.rs`.

use executor_core::ports::GapReason;

use super::*;
use proptest::prelude::*;

fn job(number: u32) -> Arc<Entity> {
    Arc::new(Entity::job("lights", 0, format!("job {number}")))
}

fn session() -> SessionId {
    SessionId::new(Timestamp::from_micros(0))
}

#[derive(Clone, Debug)]
enum Step {
    Lose(u8, u32),
    End(u8),
    Pass(u64),
    Write,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..6, 0_u32..1_500).prop_map(|(reason, job)| Step::Lose(reason, job)),
        1 => (0_u8..6).prop_map(Step::End),
        2 => (0_u64..40_000).prop_map(Step::Pass),
        1 => Just(Step::Write),
    ]
}

proptest! {
    /// Whatever is lost, and whenever it is written: the rows add up to it.
    #[test]
    fn what_was_written_is_what_was_lost(steps in proptest::collection::vec(step(), 0..800)) {
        let mut losses = Losses::default();
        let mut rows: HashMap<(GapReason, Timestamp), Gap> = HashMap::new();
        let mut lost = [0_u64; 6];
        let start = Instant::now();
        let mut now = Moment { wall: Timestamp::from_micros(0), monotonic: start };
        let session = session();
        let write = |losses: &mut Losses, rows: &mut HashMap<_, Gap>| {
            let gaps = losses.unwritten(session);
            losses.written(&gaps);
            rows.extend(gaps.into_iter().map(|gap| ((gap.reason, gap.first_at), gap)));
        };
        for step in steps {
            match step {
                Step::Lose(reason, number) => {
                    let reason = DropReason::ALL[usize::from(reason)];
                    losses.note(reason, Some(&job(number)), 1, now);
                    lost[reason as usize] += 1;
                }
                Step::End(reason) => {
                    losses.end(DropReason::ALL[usize::from(reason)]);
                }
                Step::Pass(ms) => {
                    let time = Duration::from_millis(ms);
                    now.wall = now.wall.saturating_add(time);
                    now.monotonic += time;
                    losses.end_quiet(now.monotonic);
                }
                Step::Write => write(&mut losses, &mut rows),
            }
        }
        write(&mut losses, &mut rows);
        prop_assert!(losses.unwritten(session).is_empty());
        for reason in DropReason::ALL {
            let of_it = rows.values().filter(|gap| gap.reason == reason.into());
            let count: u64 = of_it.clone().map(|gap| gap.count).sum();
            prop_assert_eq!(count, lost[reason as usize]);
            for gap in of_it {
                let named: u64 = gap.entities.iter().map(|(_, count)| count).sum();
                prop_assert!(named <= gap.count && gap.entities.len() <= ENTITIES_MAX);
                prop_assert!(gap.first_at <= gap.last_at);
            }
        }
    }
}

#[test]
fn c09_an_episode_counts_a_thousand_entities_and_the_rest_together() {
    let mut losses = Losses::default();
    let (wall, monotonic) = (Timestamp::from_micros(0), Instant::now());
    let now = Moment { wall, monotonic };
    for number in 0..1_005 {
        losses.note(DropReason::Overflow, Some(&job(number)), 2, now);
    }
    // One that is counted goes on being counted.
    losses.note(DropReason::Overflow, Some(&job(0)), 5, now);
    let gap = &losses.unwritten(session())[0];
    assert_eq!((gap.count, gap.entities.len()), (2_015, 1_000));
    let counts: Vec<u64> = gap.entities.iter().map(|(_, count)| *count).collect();
    assert_eq!((counts[0], counts[1], counts[999]), (7, 2, 2));
}

#[test]
fn lately_is_the_last_minute() {
    let mut losses = Losses::default();
    let start = Instant::now();
    for second in 0..100 {
        let monotonic = start + Duration::from_secs(second);
        let wall = Timestamp::from_micros(0);
        losses.note(DropReason::Overflow, None, 2, Moment { wall, monotonic });
    }
    let now = start + Duration::from_secs(99);
    assert_eq!(losses.lately(now), 120);
    assert_eq!(losses.lately(now + Duration::from_secs(60)), 0);
}
