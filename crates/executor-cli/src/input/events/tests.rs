//! Tests of `events.rs`.

use super::*;

#[test]
fn a_home_assistant_event_is_understood_where_it_keeps_things() {
    let shape: Shape =
        toml::from_str("topic = \"/event_type\"\nid = \"/context/id\"\norigin = \"/origin\"")
            .unwrap();
    let line = r#"{"event_type":"state_changed","origin":"REMOTE","context":{"id":"01H"}}"#;
    let event = shape.event(Text::of(line)).unwrap();
    assert_eq!(&*event.topic, "state_changed");
    assert_eq!(event.id.as_deref(), Some("01H"));
    assert_eq!(&*event.origin, "REMOTE");
    assert_eq!(event.payload::<Text>().unwrap().bytes(), line.as_bytes());
}

#[test]
fn ids_are_as_they_were_written() {
    for id in ["18446744073709551616", "18446744073709551617", "1.10"] {
        let line = format!("{{\"topic\":\"a\",\"id\":{id}}}");
        let event = Shape::default().event(Text::of(&line)).unwrap();
        assert_eq!(event.id.as_deref(), Some(id));
    }
}

#[test]
fn what_is_no_event_says_why() {
    let why = |line: &str| Shape::default().event(Text::of(line)).unwrap_err();
    assert_eq!(
        why("{\"topic\": tru}"),
        "column 14: not JSON: expected true, false or null"
    );
    assert_eq!(why("{}"), "no topic at /topic");
    assert_eq!(
        why("{\"topic\":[]}"),
        "the topic at /topic is neither text nor a number"
    );
    assert!(why("").starts_with("column 1: not JSON: expected more of the line"));
}
