//! Tests of `table.rs`.

use command_executor::Entity;

use super::*;
use command_executor::Stats;

fn summary(name: &str, by_status: [u64; 7], last_error: Option<&str>) -> Summary {
    let stats = Stats {
        by_status,
        average: Duration::from_micros(1_234),
        p50: Duration::from_micros(900),
        p95: Duration::from_secs(2),
        p99: Duration::from_secs(3),
        max: Duration::from_secs(4),
        last_error: last_error.map(Into::into),
    };
    Summary {
        entity: Entity::listener("lights", 0, name, "motion.*"),
        stats,
    }
}

#[test]
fn the_table_lines_up_and_leaves_out_what_never_happened() {
    let long = "exit status 3: \u{1b}[31m`a program with a very long name` exited with status 3";
    let summaries = [
        summary("hall", [120, 0, 0, 0, 0, 0, 0], None),
        summary("cellar", [7, 1_200, 3, 0, 0, 0, 0], Some(long)),
    ];
    insta::assert_snapshot!(table(&summaries, Width::Whole));
    let narrow = table(&summaries, Width::Narrow);
    assert!(
        !narrow.contains("motion") && !narrow.contains("exit status"),
        "{narrow}"
    );
}

#[test]
fn json_has_every_status() {
    let summaries = [summary("hall", [1, 2, 3, 4, 5, 6, 7], Some("a: b"))];
    insta::assert_snapshot!(format!("{:#}", json(&summaries)));
}

#[test]
fn durations_are_shown_in_the_unit_that_fits() {
    let shown = [7, 1_500, 2_345_000, 90_000_000].map(|us| readable(Duration::from_micros(us)));
    assert_eq!(shown, ["7 µs", "1.5 ms", "2.35 s", "1.5 min"]);
}
