//! Turns a line of any stream into an event: JSON with pointers to its topic, id and origin, or plain text.

mod time;

use std::collections::BTreeMap;

use command_executor::Event;
use serde::Deserialize;

use crate::input::pointer::{self, Pointer, Scalar};

/// Where the values of an event stand in a line of JSON, and which lines are meant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shape {
    pub(crate) topic: Topic,
    /// What divides segments within a value of the topic, where that is not the dot of topic patterns.
    pub(crate) separator: Option<Filled>,
    /// What stands for a part of the topic that a line lacks; without it such a line is bad.
    pub(crate) topic_default: Option<Filled>,
    pub(crate) id: IdAt,
    pub(crate) origin: OriginAt,
    /// Where the time stands at which the event happened.
    pub(crate) time: Option<At>,
    /// The values that a line must have; other lines are passed over.
    pub(crate) when: When,
    /// Lines are text, and the whole line is the payload.
    #[serde(skip)]
    pub(crate) is_text: bool,
}

/// A JSON pointer, such as `/event/type`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct At(Pointer);

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Pointer::parse(&text)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a JSON pointer: write it like /event/type"))
    }
}

impl At {
    fn of(text: &str) -> Self {
        Self(Pointer::parse(text).expect("it begins with a slash"))
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct IdAt(At);

impl Default for IdAt {
    fn default() -> Self {
        Self(At::of("/id"))
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OriginAt(At);

impl Default for OriginAt {
    fn default() -> Self {
        Self(At::of("/origin"))
    }
}

/// The parts of a topic, which dots join.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "OneOrMore<String>")]
pub(crate) struct Topic(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    At(At),
    /// Stands in every topic.
    Word(String),
}

impl Default for Topic {
    fn default() -> Self {
        Self(vec![Part::At(At::of("/topic"))])
    }
}

impl Topic {
    /// Returns the topic of every event; `None` if it is empty or has a pointer.
    pub(crate) fn fixed(parts: OneOrMore<String>) -> Option<Self> {
        let parts = parts.into_vec();
        let is_fixed = |part: &String| {
            let segments = part.split('.');
            let is_word = |segment: &str| !segment.is_empty() && segment != "*" && segment != "#";
            !part.starts_with('/') && { segments }.all(is_word)
        };
        let all = !parts.is_empty() && parts.iter().all(is_fixed);
        all.then(|| Self(parts.into_iter().map(Part::Word).collect()))
    }
}

impl TryFrom<OneOrMore<String>> for Topic {
    type Error = String;

    fn try_from(parts: OneOrMore<String>) -> Result<Self, String> {
        if let OneOrMore::One(text) = parts {
            // A word alone is a pointer without its slash rather than the topic of every event.
            return At::try_from(text).map(|at| Self(vec![Part::At(at)]));
        }
        let parts = parts.into_vec();
        if parts.is_empty() {
            return Err("the topic has no parts: write a pointer like /event/type".into());
        }
        let part = |text: String| match text.as_str() {
            "" => Err("a part of the topic is empty: write a word, or a pointer like /type".into()),
            pointer if pointer.starts_with('/') => At::try_from(text).map(Part::At),
            _ => Ok(Part::Word(text)),
        };
        let parts: Result<_, String> = parts.into_iter().map(part).collect();
        parts.map(Self)
    }
}

/// One character or more.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Filled(String);

impl TryFrom<String> for Filled {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.is_empty() {
            true => Err("this is empty: write at least one character"),
            false => Ok(Self(text)),
        }
    }
}

/// A value, or a list of values.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected text, a number, true or false, or a list of those"
)]
pub(crate) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

/// The values that are wanted at pointers; of each pointer one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<At, OneOrMore<Wanted>>")]
pub(crate) struct When(Vec<(At, Vec<Wanted>)>);

impl TryFrom<BTreeMap<At, OneOrMore<Wanted>>> for When {
    type Error = String;

    fn try_from(wanted: BTreeMap<At, OneOrMore<Wanted>>) -> Result<Self, String> {
        let is_endless = |it: &Wanted| matches!(it, Wanted::Number(it) if !it.is_finite());
        let wanted = wanted.into_iter().map(|(at, wanted)| {
            let wanted = wanted.into_vec();
            let shown = at.0.as_str();
            if wanted.is_empty() {
                return Err(format!(
                    "no value is wanted at {shown}: no line would be an event"
                ));
            }
            if wanted.iter().any(is_endless) {
                return Err(format!(
                    "JSON has no infinite number to be found at {shown}"
                ));
            }
            Ok((at, wanted))
        });
        wanted.collect::<Result<_, _>>().map(Self)
    }
}

/// A value that a line must have at a pointer.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected text, a number, true or false, or a list of those"
)]
pub(crate) enum Wanted {
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl Wanted {
    /// Text that says the same is as good: some streams write every value as text.
    fn is(&self, found: &Scalar<'_>) -> bool {
        match (self, found) {
            (_, Scalar::Container) => false,
            (Self::Text(text), found) => Some(text.as_str()) == text_of(found),
            (Self::Bool(wanted), found) => Some(wanted.to_string().as_str()) == text_of(found),
            (Self::Whole(wanted), found) => text_of(found).is_some_and(|text| {
                match text.parse::<i64>() {
                    Ok(number) => number == *wanted,
                    // With a point or an exponent.
                    Err(_) => is_number(text, *wanted as f64),
                }
            }),
            (Self::Number(wanted), found) => {
                text_of(found).is_some_and(|text| is_number(text, *wanted))
            }
        }
    }
}

fn is_number(text: &str, wanted: f64) -> bool {
    text.parse::<f64>().is_ok_and(|number| number == wanted)
}

fn text_of<'f>(found: &'f Scalar<'_>) -> Option<&'f str> {
    match found {
        Scalar::Text(text) => Some(text),
        Scalar::Number(number) => Some(number),
        Scalar::Word(word) => Some(word),
        Scalar::Container => None,
    }
}

impl Shape {
    /// The event in a line, yet without the line itself, which is its payload; `None` if the line is not meant.
    pub(crate) fn event(&self, line: &[u8]) -> Result<Option<Event>, String> {
        if self.is_text {
            return self.event_of_text(line).map(Some);
        }
        let found = pointer::find(line, &self.asked());
        let found = found.map_err(|error| {
            format!("column {}: not JSON: expected {}", error.column, error.what)
        })?;
        let mut found = found.into_iter();
        if !self.is_meant(&mut found) {
            return Ok(None);
        }
        let [id, origin] = [found.next().flatten(), found.next().flatten()];
        let mut event = Event::new(self.topic(&mut found)?);
        if let Some(id) = id.and_then(text) {
            event = event.with_id(id);
        }
        if let Some(origin) = origin.and_then(text) {
            event = event.with_origin(origin);
        }
        let time = self.time.as_ref().and_then(|_| found.next().flatten());
        if let Some(at) = time.and_then(|time| time::time_of(&time)) {
            event = event.with_time(at);
        }
        Ok(Some(event))
    }

    fn event_of_text(&self, line: &[u8]) -> Result<Event, String> {
        str::from_utf8(line)
            .map_err(|error| format!("column {}: not UTF-8", error.valid_up_to() + 1))?;
        let topic = self.topic(&mut std::iter::empty())?;
        Ok(Event::new(topic))
    }

    /// Returns whether the conditions hold. Takes all that was found for them, whatever the first one says: what comes
    /// next stands behind it.
    fn is_meant<'f>(&self, found: &mut impl Iterator<Item = Option<Scalar<'f>>>) -> bool {
        let wanted = self.when.0.iter().map(|(_, wanted)| wanted);
        let conditions = wanted.zip(found.by_ref().take(self.when.0.len()));
        conditions.fold(true, |is_meant, (wanted, found)| {
            is_meant && found.is_some_and(|found| wanted.iter().any(|it| it.is(&found)))
        })
    }

    /// The pointers: first the conditions, then id and origin, then those of the topic, then the time.
    fn asked(&self) -> Vec<&Pointer> {
        let conditions = self.when.0.iter().map(|(at, _)| &at.0);
        let topic = self.topic.0.iter().filter_map(|part| match part {
            Part::At(at) => Some(&at.0),
            Part::Word(_) => None,
        });
        conditions
            .chain([&self.id.0.0, &self.origin.0.0])
            .chain(topic)
            .chain(self.time.as_ref().map(|at| &at.0))
            .collect()
    }

    /// Makes the topic of what was found at its pointers.
    fn topic<'l>(
        &self,
        found: &mut impl Iterator<Item = Option<Scalar<'l>>>,
    ) -> Result<String, String> {
        let parts = self.topic.0.iter().map(|part| match part {
            Part::Word(word) => Ok(word.clone()),
            Part::At(at) => self.part(at, found.next().flatten()),
        });
        Ok(parts.collect::<Result<Vec<_>, _>>()?.join("."))
    }

    fn part(&self, at: &At, found: Option<Scalar<'_>>) -> Result<String, String> {
        let at = at.0.as_str();
        let found = match found {
            None | Some(Scalar::Word("null")) => None,
            Some(Scalar::Text(text)) if text.is_empty() => None,
            found => found,
        };
        let Some(found) = found else {
            let default = self.topic_default.clone().map(|Filled(text)| text);
            return default.ok_or_else(|| format!("no topic at {at}"));
        };
        let part =
            text(found).ok_or_else(|| format!("the topic at {at} is neither text nor a number"))?;
        Ok(match &self.separator {
            Some(Filled(separator)) => part.replace(separator.as_str(), "."),
            None => part,
        })
    }
}

/// Text, or a number as it was written: foreign streams number their ids, and not all fit a type.
fn text(found: Scalar<'_>) -> Option<String> {
    match found {
        Scalar::Text(text) => Some(text.into_owned()),
        Scalar::Number(number) => Some(number.to_owned()),
        Scalar::Word(_) | Scalar::Container => None,
    }
}

#[cfg(test)]
mod tests;
