//! Clause I7: what looks like a secret is kept nowhere.

use std::fs;

use crate::support::{Place, listener};

/// A program that says and returns secrets in every way.
const RUN: &str = r#"["sh", "-c", "echo login with password=hunter2secret; printf '%s\n' '-----BEGIN PRIVATE KEY-----' MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7 '-----END PRIVATE KEY-----'; echo Authorization: Bearer abcdefsecret >&2; echo card 4111111111111111 >&2; exit 3"]"#;

#[test]
fn i07_no_secret_reaches_the_database_the_spool_or_the_log() {
    let place = Place::new();
    let redact = "[redact]\npatterns = ['card (\\d{16})']\n";
    place.file("c.toml", &format!("{redact}{}", listener("all", RUN, "")));
    let events = "{\"topic\":\"token=topicsecret\",\"id\":\"https://me:idsecret@host/\",\"origin\":\"api_key: originsecret\"}\n\
        {\"no_topic\":\"password=badsecret\"}\n";
    place.file("e", events);
    let said = place.run(&["run", "c.toml", "--events", "e", "--verbose"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let export = place.run(&["export", "--lines"]);
    assert!(
        export.out.contains("login with password=***"),
        "{}",
        export.out
    );
    assert!(export.out.contains("card ***"), "{}", export.out);
    assert_eq!(export.out.lines().count(), 1);
    let sources = place.run(&["sources", "--json"]);
    assert!(sources.out.contains("password=***"), "{}", sources.out);

    let mut looked_at = vec![said.err, said.out];
    for file in fs::read_dir(place.directory.path()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("telemetry.db") && path.is_file() {
            looked_at.push(String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
        }
    }
    assert!(looked_at.len() > 2);
    for secret in [
        "hunter2secret",
        "MIIEvQIBADAN",
        "abcdefsecret",
        "4111111111111111",
        "topicsecret",
        "idsecret",
        "originsecret",
        "badsecret",
    ] {
        for text in &looked_at {
            assert!(!text.contains(secret), "{secret} is kept");
        }
    }
}
