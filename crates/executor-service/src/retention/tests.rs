//! Tests of `retention.rs`.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn the_rules_follow_from_the_settings() {
    let now = Timestamp::from_micros(1_767_225_600_000_000);
    let ago = |days: u32| now.saturating_sub(DAY * days);
    let rules = |max_age, max_age_of_failures| {
        let retention = Retention {
            max_age,
            max_age_of_failures,
            ..Retention::FOR_EVER
        };
        retention.rules(now, &[])
    };
    assert_eq!(rules(None, None), []);
    assert_eq!(rules(None, Some(DAY)), [], "all are kept for ever");
    let gone = |days| PruneRule::GoneBefore(ago(days));
    let one = [PruneRule::EndedBefore(ago(1)), gone(1)];
    assert_eq!(rules(Some(DAY), None), one);
    let both = [
        PruneRule::EndedBefore(ago(9)),
        PruneRule::WentWellBefore(ago(1)),
        gone(1),
    ];
    assert_eq!(rules(Some(DAY), Some(DAY * 9)), both);
    assert_eq!(
        rules(Some(DAY * 9), Some(DAY)),
        [PruneRule::EndedBefore(ago(9)), gone(9)]
    );
    let by_default = Retention::default().rules(now, &[]);
    let expected = [
        PruneRule::EndedBefore(ago(7)),
        gone(7),
        PruneRule::HistoryBefore(ago(400)),
        PruneRule::LargerThan(500_000_000),
    ];
    assert_eq!(by_default, expected);
    let bound = LinesBound {
        of: None,
        until: now,
    };
    let with_lines = Retention {
        lines_max_age: Some(DAY),
        max_bytes: Some(9),
        ..Retention::FOR_EVER
    };
    let expected = [
        PruneRule::LinesBefore(ago(1)),
        PruneRule::LinesUntil(bound),
        PruneRule::LargerThan(9),
    ];
    assert_eq!(with_lines.rules(now, &[bound]), expected);
}
