//! Topic patterns: segments between dots, `*` for any one segment, `#` at the end for any rest.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Which events a listener listens to, by their topics.
///
/// ```
/// use executor_core::topic::TopicPattern;
///
/// let pattern: TopicPattern = "motion.*".parse()?;
/// assert!(pattern.matches("motion.hall") && !pattern.matches("motion.hall.upper"));
/// # Ok::<(), executor_core::topic::PatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    /// Whether anything may follow the segments.
    any_rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Any,
    Exactly(Box<str>),
}

/// Why a text is not a topic pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a topic pattern: {why}")]
#[non_exhaustive]
pub struct PatternError {
    /// The text.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub why: &'static str,
}

impl TopicPattern {
    /// Whether an event with this topic is for the listener.
    pub fn matches(&self, topic: &str) -> bool {
        let mut given = topic.split('.');
        for segment in &self.segments {
            let fits = match (segment, given.next()) {
                (_, None) => false,
                (Segment::Any, Some(_)) => true,
                (Segment::Exactly(wanted), Some(given)) => **wanted == *given,
            };
            if !fits {
                return false;
            }
        }
        self.any_rest || given.next().is_none()
    }

    /// The pattern as it was written.
    pub const fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for TopicPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let refuse = |why| {
            let text = text.to_owned();
            Err(PatternError { text, why })
        };
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
                _ => segments.push(Segment::Exactly(segment.into())),
            }
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
            any_rest,
        })
    }
}

#[cfg(test)]
mod tests;
