//! From a line of any JSON stream to an event: where the stream keeps topic, id and origin.

use command_executor::Event;
use serde::Deserialize;
use serde_json::Value;

/// JSON pointers into each line of the stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shape {
    topic: Pointer,
    id: Pointer,
    origin: Pointer,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            topic: Pointer("/topic".into()),
            id: Pointer("/id".into()),
            origin: Pointer("/origin".into()),
        }
    }
}

/// A JSON pointer, such as `/event/type`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pointer(String);

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{text}` is not a JSON pointer: write it like /event/type"
            ))
        }
    }
}

impl Shape {
    /// The event in a line, with the line itself as its payload.
    pub(crate) fn event(&self, line: Vec<u8>) -> Result<Event, String> {
        let value: Value = serde_json::from_slice(&line).map_err(|error| not_json(&error))?;
        let topic =
            text_at(&value, &self.topic).ok_or_else(|| match value.pointer(&self.topic.0) {
                None => format!("no topic at {}", self.topic.0),
                Some(_) => format!("the topic at {} is neither text nor a number", self.topic.0),
            })?;
        let mut event = Event::new(topic).with_payload(line);
        if let Some(id) = text_at(&value, &self.id) {
            event = event.with_id(&id);
        }
        if let Some(origin) = text_at(&value, &self.origin) {
            event = event.with_origin(origin);
        }
        Ok(event)
    }
}

/// Text, or a number as text: foreign streams number their ids.
fn text_at(value: &Value, pointer: &Pointer) -> Option<String> {
    match value.pointer(&pointer.0)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The parser counts lines within the line that it was given.
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("column {}: not JSON: {what}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_assistant_event_is_understood_where_it_keeps_things() {
        let shape: Shape =
            toml::from_str("topic = \"/event_type\"\nid = \"/context/id\"\norigin = \"/origin\"")
                .unwrap();
        let line = r#"{"event_type":"state_changed","origin":"REMOTE","context":{"id":"01H"}}"#;
        let event = shape.event(line.into()).unwrap();
        assert_eq!(&*event.topic, "state_changed");
        assert_eq!(event.id.as_deref(), Some("01H"));
        assert_eq!(&*event.origin, "REMOTE");
        assert_eq!(event.payload::<Vec<u8>>().unwrap(), line.as_bytes());
    }

    #[test]
    fn what_is_no_event_says_why() {
        let why = |line: &str| Shape::default().event(line.into()).unwrap_err();
        assert_eq!(
            why("{\"topic\": tru}"),
            "column 14: not JSON: expected ident"
        );
        assert_eq!(why("{}"), "no topic at /topic");
        assert_eq!(
            why("{\"topic\":[]}"),
            "the topic at /topic is neither text nor a number"
        );
        assert!(why("").starts_with("column 0: not JSON: EOF"));
    }
}
