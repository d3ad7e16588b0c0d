//! Tests of `topic.rs`.

use super::*;
use proptest::prelude::*;

fn matches(pattern: &str, topic: &str) -> bool {
    pattern.parse::<TopicPattern>().unwrap().matches(topic)
}

#[test]
fn a_star_is_one_segment_and_a_hash_is_the_rest() {
    assert!(matches("motion.*", "motion.hall"));
    assert!(!matches("motion.*", "motion"));
    assert!(!matches("motion.*", "motion.hall.upper"));
    assert!(matches("*.hall", "motion.hall"));
    assert!(matches("motion.#", "motion.hall.upper"));
    assert!(matches("motion.#", "motion"));
    assert!(!matches("motion.#", "light.hall"));
    assert!(matches("#", "anything.at.all"));
    assert!(!matches("motion.hall", "motion.hallway"));
}

#[test]
fn what_cannot_mean_anything_is_refused_with_the_reason() {
    for bad in ["", ".", "a..b", "a.", "#.a", "a.#.b", "mot*", "a.b#"] {
        let error = bad.parse::<TopicPattern>().unwrap_err().to_string();
        assert!(error.contains("is not a topic pattern"), "{bad}: {error}");
    }
}

proptest! {
    #[test]
    fn a_topic_without_wildcards_matches_itself(topic in "[a-z]{1,5}(\\.[a-z]{1,5}){0,4}") {
        prop_assert!(matches(&topic, &topic));
        let with_rest = format!("{topic}.#");
        prop_assert!(matches(&with_rest, &topic));
        let longer = format!("{topic}.x");
        prop_assert!(!matches(&topic, &longer));
    }
}
