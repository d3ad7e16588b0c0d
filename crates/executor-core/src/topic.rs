//! Topic patterns: segments with dots, or another separator, between them. `*` matches any one segment, and `#` at
//! the end matches any rest.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A pattern that selects a listener's events by their topics.
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
    /// True if anything may follow the segments.
    any_rest: bool,
    separator: char,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Segment {
    Any,
    Exactly(Box<str>),
}

/// The error for a text that is not a topic pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a topic pattern: {why}")]
#[non_exhaustive]
pub struct PatternError {
    /// The text.
    pub text: String,
    /// The mistake, and how to correct it.
    pub why: &'static str,
}

impl TopicPattern {
    /// Parses a pattern with this separator, such as `/`, between its segments.
    ///
    /// ```
    /// let pattern = executor_core::TopicPattern::with_separator("home/*/motion", '/')?;
    /// assert!(pattern.matches("home/hall/motion"));
    /// # Ok::<(), executor_core::topic::PatternError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The text is not a pattern; the error says why.
    pub fn with_separator(text: &str, separator: char) -> Result<Self, PatternError> {
        let refuse = |why| {
            let text = text.to_owned();
            Err(PatternError { text, why })
        };
        let mut segments = Vec::new();
        let mut any_rest = false;
        for segment in text.split(separator) {
            if any_rest {
                return refuse("`#` matches the rest, so it must come last");
            }
            match segment {
                "" => {
                    return refuse("a segment is empty; write one separator between two segments");
                }
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
            separator,
        })
    }

    /// Returns `true` if the listener receives events with this topic.
    pub fn matches(&self, topic: &str) -> bool {
        let mut given = topic.split(self.separator);
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

    /// Returns the pattern as it was written.
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

    /// Parses a pattern with dots between its segments.
    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::with_separator(text, '.')
    }
}

#[cfg(test)]
mod tests;
