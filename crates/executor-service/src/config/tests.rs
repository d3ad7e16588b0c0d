//! Tests of `config.rs`.

use super::*;

#[test]
fn every_problem_is_named_at_once() {
    let config = Config {
        queue_max: 0,
        heartbeat_interval: Duration::ZERO,
        ..Config::default()
    };
    let problems = config.validate().unwrap_err().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
}
