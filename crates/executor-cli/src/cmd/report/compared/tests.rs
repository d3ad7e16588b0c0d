//! Tests of `compared.rs`.

use super::*;

fn summary(name: &str, topic: &str, p50_ms: u64, by_status: [u64; 7]) -> Summary {
    let stats = Stats {
        by_status,
        p50: Duration::from_millis(p50_ms),
        p95: Duration::from_millis(p50_ms * 2),
        ..Stats::default()
    };
    Summary {
        entity: Entity::listener("lights", 0, name, topic),
        stats,
    }
}

#[test]
fn i01_what_became_slower_comes_first_and_nothing_is_left_out() {
    let now = vec![
        summary("same", "a", 100, [9, 0, 0, 0, 0, 0, 0]),
        summary("new", "a", 100, [9, 0, 0, 0, 0, 0, 0]),
        summary("slower", "a", 150, [9, 1, 0, 0, 0, 0, 0]),
    ];
    let before = vec![
        summary("gone", "a", 100, [9, 0, 0, 0, 0, 0, 0]),
        summary("slower", "a", 100, [9, 0, 0, 0, 0, 0, 0]),
        summary("same", "a", 99, [9, 0, 0, 0, 0, 0, 0]),
    ];
    let pairs = pairs(now, before);
    let names: Vec<&str> = pairs.iter().map(|(entity, _)| &*entity.name).collect();
    assert_eq!(names, ["slower", "same", "gone", "new"]);
    insta::assert_snapshot!(for_people(&pairs));
}

#[test]
fn i01_only_a_greater_part_of_failures_is_worse() {
    let of = |by_status| summary("it", "a", 1, by_status).stats;
    let (all, few) = (of([90, 10, 0, 0, 0, 0, 0]), of([9, 1, 0, 0, 0, 0, 0]));
    assert!(!worse(10, &all, 1, &few) && !worse(1, &few, 10, &all));
    assert!(worse(2, &few, 10, &all));
    assert!(!worse(0, &of([0; 7]), 0, &of([0; 7])));
}
