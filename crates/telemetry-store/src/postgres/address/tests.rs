//! Tests of `address.rs`.

use super::*;

fn keywords(url: &str) -> String {
    Address::parse(url).unwrap().keywords(&[])
}

#[test]
fn h06_an_address_becomes_keywords_of_libpq() {
    for (url, expected) in [
        ("postgresql:///telemetry", "dbname='telemetry'"),
        (
            "postgres://me:p%40ss%27w\\@db.example:5433/telemetry?sslmode=verify-full",
            "host='db.example' port='5433' user='me' password='p@ss\\'w\\\\' dbname='telemetry' sslmode='verify-full'",
        ),
        (
            "postgres://one,two:6543/t",
            "host='one,two' port=',6543' dbname='t'",
        ),
        (
            "postgres://[::1]:5432/t",
            "host='::1' port='5432' dbname='t'",
        ),
        ("postgres://[::1]/t", "host='::1' dbname='t'"),
        (
            "postgres://%2Frun%2Fpostgresql/t",
            "host='/run/postgresql' dbname='t'",
        ),
        (
            "postgres:///t?host=/tmp/socket",
            "dbname='t' host='/tmp/socket'",
        ),
    ] {
        assert_eq!(keywords(url), expected, "{url}");
    }
    let address = Address::parse("postgres://h/t?connect_timeout=60").unwrap();
    let more = [("connect_timeout", "5"), ("application_name", "executor")];
    assert_eq!(
        address.keywords(&more),
        "host='h' dbname='t' connect_timeout='60' application_name='executor'"
    );
}

#[test]
fn h06_a_password_never_shows() {
    let address = Address::parse("postgres://me:hunter2@db/telemetry").unwrap();
    assert_eq!(
        format!("{address} {address:?}"),
        "db/telemetry db/telemetry"
    );
    let twice = Address::parse("postgres://me:one@db/t?sslpassword=two").unwrap();
    assert_eq!(twice.without_password("one two three"), "*** *** three");
    let told = "FATAL: no password hunter2 for me";
    assert_eq!(
        address.without_password(told),
        "FATAL: no password *** for me"
    );
    // Wherever the mistake is, it is told without the address.
    for url in [
        "postgres://me:hunter2%@db/t",
        "mysql://me:hunter2@db/t",
        "postgres://me:hunter2@db/t?x",
    ] {
        let error = Address::parse(url).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
    }
}

#[test]
fn h01_each_database_has_files_of_its_own() {
    let long = "x".repeat(300);
    let urls = [
        "postgres://db/PROD".to_owned(),
        "postgres://db/TEST".into(),
        "postgres://db/test".into(),
        "postgres:///t?host=/a".into(),
        "postgres:///t?host=/b".into(),
        "postgres://db/t?dbname=u".into(),
        "postgres://db/t".into(),
        "postgres://db:5433/t".into(),
        format!("postgres://db/{long}a"),
        format!("postgres://db/{long}b"),
    ];
    let name = |url: &String| Address::parse(url).unwrap().file_name();
    let names: std::collections::HashSet<String> = urls.iter().map(name).collect();
    assert_eq!(names.len(), urls.len(), "{names:?}");
    let is_plain = |name: &String| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    assert!(
        names.iter().all(|name| name.len() <= 200 && is_plain(name)),
        "{names:?}"
    );
    // Where the address leaves it open, libpq's environment says which server it is.
    let open = Address::parse("postgres:///t").unwrap();
    let on = |host: &str| {
        let host = host.to_owned();
        open.file_name_in(move |name| (name == "PGHOST").then(|| host.clone()))
    };
    assert_ne!(on("one"), on("other"));
    assert_eq!(
        on("one"),
        Address::parse("postgres://one:5432/t")
            .unwrap()
            .file_name_in(|_| None)
    );
    // Whoever connects, it is the same database.
    let of = |url: &str| Address::parse(url).unwrap().file_name();
    assert_eq!(of("postgres://me:a@db/t"), of("postgres://db/t?user=you"));
}

#[test]
fn h06_what_is_no_address_is_told() {
    for (url, expected) in [
        ("telemetry.db", Unaddressable::Scheme),
        ("postgres:/t", Unaddressable::Scheme),
        ("jdbc:postgresql://h/t", Unaddressable::Scheme),
        ("postgres://", Unaddressable::NoDatabase),
        ("postgres://h", Unaddressable::NoDatabase),
        ("postgres://h/", Unaddressable::NoDatabase),
        ("postgres://h/t&password=hunter2", Unaddressable::Misplaced),
        ("postgres://h/t%2", Unaddressable::Escape),
        ("postgres://h/t%zz", Unaddressable::Escape),
        ("postgres://h/%ff", Unaddressable::Escape),
        ("postgres://h/t%00", Unaddressable::Nul),
        ("postgres://me:hun/ter2@db/t", Unaddressable::Misplaced),
        ("postgres://me:hun?ter2=x@db", Unaddressable::Misplaced),
        ("postgres://me:hunter2/t", Unaddressable::Misplaced),
        ("postgres://h/t?sslmode", Unaddressable::Parameter),
        ("postgres://h/t?=1", Unaddressable::Parameter),
        ("postgres://h/t?options=-c%20x", Unaddressable::Options),
    ] {
        assert_eq!(Address::parse(url).unwrap_err(), expected, "{url}");
    }
}
