//! Turns a line of any JSON stream into an event, with JSON pointers to its topic, id and origin.

use command_executor::Event;
use serde::Deserialize;

use crate::input::pointer::{self, Pointer, Scalar};
use crate::input::source::Text;

/// JSON pointers into each line of the stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shape {
    topic: At,
    id: At,
    origin: At,
}

impl Default for Shape {
    fn default() -> Self {
        let at = |name: &str| At::try_from(format!("/{name}"));
        let [topic, id, origin] =
            ["topic", "id", "origin"].map(|name| at(name).expect("it begins with a slash"));
        Self { topic, id, origin }
    }
}

/// A JSON pointer, such as `/event/type`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct At(Pointer);

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Pointer::parse(&text)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a JSON pointer: write it like /event/type"))
    }
}

impl Shape {
    /// The event in a line, with the line itself as its payload.
    pub(crate) fn event(&self, line: Text) -> Result<Event, String> {
        let asked = [&self.topic.0, &self.id.0, &self.origin.0];
        let found = pointer::find(line.bytes(), asked);
        let [topic, id, origin] = found.map_err(|error| {
            format!("column {}: not JSON: expected {}", error.column, error.what)
        })?;
        let topic_at = self.topic.0.as_str();
        let topic = match topic {
            None => return Err(format!("no topic at {topic_at}")),
            Some(topic) => text(topic)
                .ok_or_else(|| format!("the topic at {topic_at} is neither text nor a number"))?,
        };
        let mut event = Event::new(topic);
        if let Some(id) = id.and_then(text) {
            event = event.with_id(id);
        }
        if let Some(origin) = origin.and_then(text) {
            event = event.with_origin(origin);
        }
        Ok(event.with_payload(line))
    }
}

/// Text, or a number as it was written: foreign streams number their ids, and not all fit a type.
fn text(found: Scalar<'_>) -> Option<String> {
    match found {
        Scalar::Text(text) => Some(text.into_owned()),
        Scalar::Number(number) => Some(number.to_owned()),
        Scalar::Other => None,
    }
}

#[cfg(test)]
mod tests;
