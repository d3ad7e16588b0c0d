//! Topic patterns: segments between dots, `*` for any one segment, `#` at the end for any rest.

use std::str::FromStr;

use serde::Deserialize;

/// What a listener listens to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct TopicPattern {
    text: String,
    segments: Vec<Segment>,
    /// Whether anything may follow the segments.
    any_rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Any,
    Exactly(String),
}

impl TopicPattern {
    /// Whether an event with this topic is for the listener.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        let mut given = topic.split('.');
        for segment in &self.segments {
            let fits = match (segment, given.next()) {
                (_, None) => false,
                (Segment::Any, Some(_)) => true,
                (Segment::Exactly(wanted), Some(given)) => wanted == given,
            };
            if !fits {
                return false;
            }
        }
        self.any_rest || given.next().is_none()
    }

    /// The pattern as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for TopicPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{text}` is not a topic pattern: {why}"));
        let mut segments = Vec::new();
        let mut any_rest = false;
        for segment in text.split('.') {
            if any_rest {
                return refuse("`#` stands for the rest, so it comes last");
            }
            match segment {
                "" => return refuse("a segment is empty; write segments between single dots"),
                "*" => segments.push(Segment::Any),
                "#" => any_rest = true,
                _ if segment.contains(['*', '#']) => {
                    return refuse("`*` and `#` stand for whole segments, not for parts of one");
                }
                _ => segments.push(Segment::Exactly(segment.to_owned())),
            }
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
            any_rest,
        })
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
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
            let error = bad.parse::<TopicPattern>().unwrap_err();
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
}
