//! Tests of `crontab.rs`.

use super::*;

const CRONTAB: &str = r#"
# Edit this file to introduce tasks
MAILTO=me@example.org
PATH = "/usr/local/bin:/bin"
0 3 * * *   /usr/local/bin/backup.sh --all >/dev/null 2>&1
*/5 * * * * flock -n /tmp/lock /opt/check   'a b'
CRON_TZ=Europe/Berlin
30 8 * * mon-fri  mail -s "it's \% done" root%first line%second 'line'
@reboot cd /srv && ./backup.sh
@daily RUST_LOG=info /opt/report
"#;

#[test]
fn a_crontab_becomes_a_configuration() {
    let read = Crontab::read(CRONTAB, false, Some("/home/me"));
    assert_eq!(read.problems, []);
    insta::assert_snapshot!(read.configuration("cron"));
}

#[test]
fn a_line_of_the_system_has_a_user() {
    let text = "17 * * * * root  cd / && run-parts --report /etc/cron.hourly\n";
    let read = Crontab::read(text, true, Some("/root"));
    assert_eq!(read.problems, []);
    let job = &read.jobs[0];
    assert_eq!(job.run[..4], ["runuser", "-u", "root", "--"]);
    assert_eq!(job.run[6], "cd / && run-parts --report /etc/cron.hourly");
    assert_eq!((&*job.name, &job.directory), ("run-parts", &None));
}

#[test]
fn what_cannot_be_imported_is_named_with_its_line() {
    let text = "* * * * *\n61 * * * * true\n@never true\n* * * true\n0 0 30 2 * true\n";
    let read = Crontab::read(text, false, None);
    let lines: Vec<usize> = read.problems.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5], "{:?}", read.problems);
    assert_eq!(read.jobs(), 0);
    let read = Crontab::read("* * * * * root\n", true, None);
    assert_eq!(read.problems.len(), 1);
}

#[test]
fn a_shell_sees_what_cron_would_give_it() {
    let text = "* * * * * cat - > out; echo \\%s%it's %two\n";
    let read = Crontab::read(text, false, None);
    let run = &read.jobs[0].run;
    let place = tempfile::tempdir().unwrap();
    let done = std::process::Command::new(&run[0])
        .args(&run[1..])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "%s\n");
    let got = std::fs::read_to_string(place.path().join("out")).unwrap();
    assert_eq!(got, "it's \ntwo\n");
}
