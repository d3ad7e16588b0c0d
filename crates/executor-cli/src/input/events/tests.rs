//! Tests of `events.rs`.

use super::*;

#[test]
fn a_home_assistant_event_is_understood_where_it_keeps_things() {
    let shape: Shape =
        toml::from_str("topic = \"/event_type\"\nid = \"/context/id\"\norigin = \"/origin\"")
            .unwrap();
    let line = r#"{"event_type":"state_changed","origin":"REMOTE","context":{"id":"01H"}}"#;
    let event = shape.event(line.as_bytes()).unwrap().unwrap();
    assert_eq!(&*event.topic, "state_changed");
    assert_eq!(event.id.as_deref(), Some("01H"));
    assert_eq!(&*event.origin, "REMOTE");
}

#[test]
fn ids_are_as_they_were_written() {
    for id in ["18446744073709551616", "18446744073709551617", "1.10"] {
        let line = format!("{{\"topic\":\"a\",\"id\":{id}}}");
        let event = Shape::default().event(line.as_bytes()).unwrap().unwrap();
        assert_eq!(event.id.as_deref(), Some(id));
    }
}

#[test]
fn what_is_no_event_says_why() {
    let why = |line: &str| Shape::default().event(line.as_bytes()).unwrap_err();
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

/// The topic of the event in a line; `None` if the line is not meant.
fn topic_of(shape: &str, line: &str) -> Option<String> {
    let shape: Shape = toml::from_str(shape).unwrap();
    let event = shape.event(line.as_bytes()).unwrap();
    event.map(|event| event.topic.to_string())
}

#[test]
fn a_topic_has_parts_and_is_divided_as_the_stream_divides_it() {
    let docker = r#"{"Type":"container","Action":"start","n":7}"#;
    let shape = "topic = [\"docker\", \"/Type\", \"/Action\", \"/n\"]";
    let topic = topic_of(shape, docker);
    assert_eq!(topic.as_deref(), Some("docker.container.start.7"));
    let mqtt = r#"{"topic":"home/hall/lux"}"#;
    assert_eq!(topic_of("", mqtt).as_deref(), Some("home/hall/lux"));
    let topic = topic_of("separator = \"/\"", mqtt);
    assert_eq!(topic.as_deref(), Some("home.hall.lux"));
}

#[test]
fn what_a_topic_lacks_can_be_replaced() {
    let shape = "topic = [\"journal\", \"/unit\"]\ntopic_default = \"kernel\"";
    for line in ["{}", r#"{"unit":null}"#] {
        assert_eq!(topic_of(shape, line).as_deref(), Some("journal.kernel"));
    }
    let shape: Shape = toml::from_str("topic = \"/unit\"").unwrap();
    let why = shape.event(br#"{"unit":null}"#).unwrap_err();
    assert_eq!(why, "no topic at /unit");
}

#[test]
fn only_lines_that_meet_every_condition_are_meant() {
    let shape = "topic = \"/t\"\n[when]\n\"/t\" = [\"a\", \"b\"]\n\"/n\" = 3\n\"/x/y\" = true";
    let is_meant = |line: &str| topic_of(shape, line).is_some();
    assert!(is_meant(r#"{"t":"a","n":3,"x":{"y":true}}"#));
    assert!(is_meant(r#"{"t":"b","n":3.0,"x":{"y":true}}"#));
    assert!(is_meant(r#"{"t":"b","n":"3","x":{"y":"true"}}"#));
    for other in [
        r#"{"t":"c","n":3,"x":{"y":true}}"#,
        r#"{"t":"a","n":4,"x":{"y":true}}"#,
        r#"{"t":"a","n":3,"x":{"y":false}}"#,
        r#"{"t":"a","n":3,"x":{"y":null}}"#,
        r#"{"t":"a","n":3,"x":true}"#,
        r#"{"t":"a","n":[3],"x":{"y":true}}"#,
    ] {
        assert!(!is_meant(other), "{other}");
    }
}

#[test]
fn whole_numbers_are_compared_to_the_last_digit() {
    let shape = "topic = [\"a\", \"/b\"]\ntopic_default = \"c\"\n[when]\n\"/n\" = 9007199254740993";
    assert_eq!(topic_of(shape, r#"{"n":9007199254740992}"#), None);
    let topic = topic_of(shape, r#"{"n":9007199254740993,"b":""}"#);
    assert_eq!(topic.as_deref(), Some("a.c"));
}

#[test]
fn a_line_that_is_not_meant_must_be_json_all_the_same() {
    let shape: Shape = toml::from_str("[when]\n\"/t\" = \"a\"").unwrap();
    assert!(shape.event(b"{").is_err());
}

#[test]
fn shapes_that_make_no_sense_say_why() {
    let why = |shape: &str| {
        toml::from_str::<Shape>(shape)
            .unwrap_err()
            .message()
            .to_owned()
    };
    assert!(why("topic = []").contains("no parts"));
    assert!(why("topic = [\"/a\", \"\"]").contains("empty"));
    assert!(why("topic = 3").contains("a list of those"));
    assert!(why("separator = \"\"").contains("empty"));
    assert!(why("when = { a = 1 }").contains("not a JSON pointer"));
    assert!(why("when = { \"/a\" = [] }").contains("no line would be an event"));
    assert!(why("when = { \"/a\" = {} }").contains("list of those"));
    assert!(why("when = { \"/a\" = inf }").contains("infinite"));
}
