//! Settings as text: what is left out has its default, what is unknown is an error.

use std::time::Duration;

use executor_service::{Config, Durability, Recording, SpoolPlace};

#[test]
fn f01_settings_are_read_and_written_as_text() {
    let text = r#"
        queue_max = 50
        flush_interval = "1s 500ms"
        durability = "power"
        spool = { at = "/var/spool/house" }
        [record_framework.anomalies]
        slower_than = "2s"
        sample_one_in = 100
        [retention]
        max_age = "30d"
    "#;
    let text = text.replace("30d", "720h");
    let config: Config = toml::from_str(&text).unwrap();
    let expected = Config::default()
        .with_queue_max(50)
        .with_flush_interval(Duration::from_millis(1_500))
        .with_durability(Durability::Power)
        .with_spool(SpoolPlace::At("/var/spool/house".into()))
        .with_record_framework(Recording::Anomalies {
            slower_than: Duration::from_secs(2),
            sample_one_in: 100,
        })
        .with_retention(executor_service::Retention {
            max_age: Some(Duration::from_secs(30 * 86_400)),
            ..Default::default()
        });
    assert_eq!(config, expected);
    let written = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<Config>(&written).unwrap(), config);
    let unknown = toml::from_str::<Config>("queue = 5").unwrap_err();
    assert!(
        unknown.message().contains("unknown field `queue`"),
        "{unknown}"
    );
}
