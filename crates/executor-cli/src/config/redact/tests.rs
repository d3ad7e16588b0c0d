//! Tests of `redact.rs`.

use super::*;

fn kept(config: &str, kind: TextKind, text: &str) -> String {
    let config: RedactConfig = toml::from_str(config).unwrap();
    let secrets = config.secrets();
    secrets.map_or_else(|| text.to_owned(), |it| it.redact(kind, text).into_owned())
}

#[test]
fn known_secrets_are_taken_out_and_the_rest_is_kept() {
    for (text, expected) in [
        (
            "Authorization: Bearer abcdef123456.x",
            "Authorization: Bearer ***",
        ),
        ("curl -u Basic dXNlcjpwYXNz", "curl -u Basic ***"),
        (
            "mysql --password=hunter2 -h db",
            "mysql --password=*** -h db",
        ),
        (
            r#"{"api_key": "k-1", "n": 1}"#,
            r#"{"api_key": "***", "n": 1}"#,
        ),
        ("GET /?token=abc&x=1", "GET /?token=***&x=1"),
        (
            "pushing to https://me:pw@host/x and ftp://you@host",
            "pushing to https://***@host/x and ftp://***@host",
        ),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb",
            "a\n***\nb",
        ),
        ("a\n-----BEGIN PRIVATE KEY-----\nMIIE", "a\n***"),
        (
            "mail me@example.org about passwords and tokens",
            "mail me@example.org about passwords and tokens",
        ),
        ("the password is wrong", "the password is wrong"),
        (
            "DB_PASSWORD=x1 GITHUB_TOKEN=abc AWS_SECRET_ACCESS_KEY=k",
            "DB_PASSWORD=*** GITHUB_TOKEN=*** AWS_SECRET_ACCESS_KEY=***",
        ),
        (
            r#"{"client_secret":"a","access_token": "b c","accessToken":"d"}"#,
            r#"{"client_secret":"***","access_token": "***","accessToken":"***"}"#,
        ),
        (
            "password=\"my secret, in parts\" next",
            "password=\"***\" next",
        ),
        ("at postgres://u:p@ss@host/db", "at postgres://***@host/db"),
        (
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nxx\n-----END PGP PRIVATE KEY BLOCK-----",
            "***",
        ),
        ("pushed with ghp_0123456789abcdef", "pushed with ***"),
        (
            "Basic authentication required",
            "Basic authentication required",
        ),
        ("unexpected token: }", "unexpected token: }"),
        ("PWD=/srv/app", "PWD=/srv/app"),
        ("GET http://h?mail=a@b.c", "GET http://h?mail=a@b.c"),
    ] {
        assert_eq!(kept("", TextKind::Message, text), expected);
        assert_eq!(kept("built_in = false", TextKind::Message, text), text);
    }
}

#[test]
fn a_key_that_comes_line_by_line_is_taken_out() {
    let key = [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW",
        "-----END OPENSSH PRIVATE KEY-----",
    ];
    for line in key {
        assert_eq!(kept("", TextKind::Line, line), "***");
    }
    let checksum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let path = "/srv/Backups/2026/November/29/House/photos/DSC0001";
    for line in [checksum, path, "a word, and another", "copied 17 files"] {
        assert_eq!(kept("", TextKind::Line, line), line);
    }
}

#[test]
fn patterns_are_taken_out_or_their_group() {
    let config = "patterns = ['card \\d{4}', 'pin (\\d+)']";
    let text = "card 1234 pin 99, password=x";
    assert_eq!(
        kept(config, TextKind::Line, text),
        "*** pin ***, password=***"
    );
    let config = "built_in = false\npatterns = ['x+']";
    assert_eq!(kept(config, TextKind::Line, "axxb"), "a***b");
}

#[test]
fn patterns_that_make_no_sense_say_why() {
    let why = |config: &str| {
        let read = toml::from_str::<RedactConfig>(config);
        read.unwrap_err().message().to_owned()
    };
    assert!(why("patterns = ['(']").contains("not a regular expression: unclosed group"));
    assert!(why("patterns = ['x*']").contains("matches nothing"));
}
