//! Tests of `config.rs`.

use super::*;

fn error(text: &str) -> String {
    let parsed = Config::parse(Path::new("c.toml"), text);
    parsed.expect_err("a mistake").to_string()
}

const JOB: &str = "[[job]]\napp = \"a\"\nname = \"j\"\nevery = \"1s\"\nrun = [\"true\"]\n";

#[test]
fn every_mistake_is_one_line_with_its_place() {
    let mistakes = [
        format!("{JOB}tiemout = \"1s\"\n"),
        JOB.replace("\"1s\"", "\"soon\""),
        JOB.replace("[\"true\"]", "[]"),
        JOB.replace("[\"true\"]", "[\"@nop\"]"),
        JOB.replace("\"a\"", "\" \""),
        JOB.replace("\"a\"", "\"a/b\""),
        format!("{JOB}{JOB}"),
        format!(
            "{JOB}[[listener]]\napp = \"a\"\nname = \"l\"\ntopic = \"a..b\"\nrun = [\"true\"]\n"
        ),
        format!("[run]\nmax_concurrent = 0\n{JOB}"),
        format!("{JOB}overlap = \"sometimes\"\n"),
        format!("{JOB}overlap = \"queued\"\noverlap_limit = 0\n"),
        format!("[events]\ntopic = \"type\"\n{JOB}"),
        format!("[store]\nurl = \"mysql://x\"\n{JOB}"),
        "[[job]\n".to_owned(),
        "app = 1\n".to_owned(),
        String::new(),
    ];
    let errors: Vec<String> = mistakes.iter().map(|text| error(text)).collect();
    assert!(
        errors.iter().all(|error| !error.contains('\n')),
        "{errors:#?}"
    );
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn every_mistake_in_a_schedule_is_one_line_with_its_place() {
    let job = |schedule: &str| JOB.replace("every = \"1s\"", schedule);
    let mistakes = [
        job(""),
        job("every = \"1s\"\ncron = \"@daily\""),
        job("after = \"1s\"\nat = \"2026-12-24T18:00:00Z\""),
        job("cron = \"0 7 * * *\""),
        job("cron = \"0 25 * * *\"\ntime_zone = \"UTC\""),
        job("cron = \"0 7 * *\"\ntime_zone = \"UTC\""),
        job("cron = \"@often\"\ntime_zone = \"UTC\""),
        job("cron = \"0 0 30 2 *\"\ntime_zone = \"UTC\""),
        job("cron = \"0 7 * * *\"\ntime_zone = \"Europe/Berln\""),
        job("every = \"1s\"\ntime_zone = \"UTC\""),
        job("at = \"tomorrow\""),
        job("at = \"2026-12-24T18:00:00\""),
        job("at = \"2026-12-24T18:00:00\"\ntime_zone = \"Mars\""),
        job("at = \"2026-12-24T18:00:00Z\"\ntime_zone = \"UTC\""),
        job("every = \"1s\"\njitter = \"some\""),
        job("every = \"1s\"\nmissed = \"yes\""),
        job("every = \"1s\"\npersistent = true"),
        job("every = \"1s\"\nmissed = \"run_once\"\nmissed_limit = 3"),
        job("every = \"1s\"\nmissed = \"run_all\"\nmissed_limit = 0"),
    ];
    let errors: Vec<String> = mistakes.iter().map(|text| error(text)).collect();
    assert!(
        errors.iter().all(|error| !error.contains('\n')),
        "{errors:#?}"
    );
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn i02_every_mistake_of_a_file_is_told_at_once() {
    let text = "\
[store]
max_age = \"soon\"
[run]
max_concurrent = 0
shutdown_timeout = 3
[[job]]
app = \"a\"
name = \"one\"
every = \"never\"
tiemout = \"1s\"
run = []
[[job]]
app = \"a\"
name = \"two\"
every = \"1s\"
cron = \"@daily\"
run = [\"true\"]
[[job]]
app = \"a\"
name = \"two\"
every = \"1s\"
[[listener]]
app = \"a\"
name = \"three\"
topic = \"a..b\"
run = [\"true\"]
[[job]]
app = \"a\"
name = \"four\"
every = \"1s\"
timeout = \"soon\"
[service.retention]
slice_rows = \"many\"
[listner]
app = 1
";
    insta::assert_snapshot!(error(text));
}

#[test]
fn i02_what_is_wrong_with_a_source_is_told_at_its_place() {
    let source = |more: &str| format!("[[source]]\nname = \"s\"\n{more}\n{JOB}");
    let mistakes = [
        source(""),
        source("path = \"a\"\nsocket = \"b\""),
        source("path = \"\""),
        source("run = []"),
        source("run = [\"@noop\"]"),
        source("run = [\"cat\"]\nfollow = false"),
        source("path = \"a\"\ncwd = \"/\""),
        source("path = \"a\"\nenv = { A = \"b\" }"),
        source("path = \"a\"\nformat = \"xml\""),
        source("path = \"a\"\ntopic = \"type\""),
        source("path = \"a\"\ntopic = [\"/type\", \"\"]"),
        source("path = \"a\"\ntopic = 3"),
        source("path = \"a\"\nseparator = \"\""),
        source("path = \"a\"\nwhen = { \"/a\" = [] }"),
        source("path = \"a\"\nwhen = { \"/a\" = 1979-05-27 }"),
        source("path = \"a\"\nformat = \"text\""),
        source("path = \"a\"\nformat = \"text\"\ntopic = \"/a\""),
        source("path = \"a\"\nformat = \"text\"\ntopic = \"a\"\nid = \"/id\""),
        source("path = \"a\"\n[[source]]\nname = \"s\"\npath = \"b\""),
    ];
    let errors: Vec<String> = mistakes.iter().map(|text| error(text)).collect();
    assert!(
        errors.iter().all(|error| !error.contains('\n')),
        "{errors:#?}"
    );
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn every_kind_of_schedule_is_understood() {
    let schedules = [
        "every = \"10s\"\njitter = \"1s\"",
        "cron = \"30 2 * * *\"\ntime_zone = \"Europe/Berlin\"\nmissed = \"run_once\"\npersistent = true",
        "at = \"2026-12-24T18:00:00+01:00\"",
        "at = \"2026-12-24 18:00\"\ntime_zone = \"Europe/Berlin\"\nmissed = \"run_all\"",
        "after = \"5m\"\nmissed = \"run_all\"\nmissed_limit = 3",
    ];
    let texts = schedules.map(|schedule| {
        let text = JOB.replace("every = \"1s\"", schedule);
        let config = Config::parse(Path::new("c.toml"), &text).unwrap();
        config.schedules[0].text().detail.unwrap()
    });
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_whole_configuration_is_understood() {
    let text = format!(
        "[store]\nurl = \"x.db\"\n[run]\nshutdown_timeout = \"2s\"\n{JOB}timeout = \"none\"\n"
    );
    let config = Config::parse(Path::new("c.toml"), &text).unwrap();
    assert_eq!(config.jobs[0].timeout, Some(Timeout(None)));
    assert_eq!(config.run.shutdown_timeout.0.as_secs(), 2);
    assert_eq!(config.store.url.map(|url| url.0).as_deref(), Some("x.db"));
}

proptest::proptest! {
    #[test]
    fn i02_whatever_is_damaged_each_mistake_is_a_line_with_its_place(
        at in 0_usize..400, cut in 0_usize..30, put in "[\\[\\]=\"'#\\n\\\\a-z0-9{}.é]{0,6}",
    ) {
        let whole = format!("[store]\nurl = \"x.db\"\n[run]\nmax_concurrent = 3\n{JOB}[[listener]]\napp = \"a\"\n\
            name = \"l\"\ntopic = \"motion.*\"\nrun = [\"true\", \"{{}}\"]\n{JOB}");
        let from = at.min(whole.len());
        let text = format!("{}{put}{}", &whole[..from], &whole[(from + cut).min(whole.len())..]);
        if let Err(error) = Config::parse(Path::new("c.toml"), &text) {
            let lines: Vec<String> = error.lines().collect();
            proptest::prop_assert!(!lines.is_empty());
            for line in lines {
                proptest::prop_assert!(line.starts_with("c.toml:") && !line.contains('\n'), "{line}");
            }
        }
    }
}

#[test]
fn i02_the_surroundings_of_a_program_are_checked_at_their_place() {
    let table = "[[job]]\napp = \"a\"\nname = \"b\"\nevery = \"1h\"\nrun = [\"true\"]\n";
    for (key, told) in [
        (
            "env = { \"A=B\" = \"c\" }",
            "6:7: `A=B` is not a valid variable name: it must have a character, and neither `=` nor NUL",
        ),
        (
            "env = { A = \"\\u0000\" }",
            "6:7: the value of `A` contains a NUL character: remove it",
        ),
        (
            "cwd = \"\"",
            "6:7: this is not a directory: write its path, such as \"/srv/backup\"",
        ),
        (
            "lines = \"some\"",
            "6:9: `some` is not a policy for lines: write none, failures, tail or all",
        ),
    ] {
        let refused = Config::parse(Path::new("c.toml"), &format!("{table}{key}\n"));
        let lines: Vec<String> = refused.unwrap_err().lines().collect();
        assert_eq!(lines, [format!("c.toml:{told}")]);
    }
}
