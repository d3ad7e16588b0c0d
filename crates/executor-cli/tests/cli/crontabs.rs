//! Crontabs that become configurations.

use std::fs::{self, File};
use std::process::Stdio;

use crate::support::{Place, ended};

#[test]
fn i01_an_imported_crontab_is_a_configuration() {
    let place = Place::new();
    let crontab = "MAILTO=me\n*/5 * * * * cd /tmp && /opt/a 'x y' %in%put\n@hourly /opt/a\n0 4 * * sun \\%odd \"quoted\"\n";
    let path = place.file("crontab", crontab);
    let mut program = place.program(&["import-crontab", "-", "--app", "me"]);
    let program = program.stdin(File::open(path).unwrap());
    let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let said = ended(program.spawn().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    place.file("executor.toml", &said.out);
    let checked = place.run(&["check", "executor.toml"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
    for name in ["me/a ", "me/a-2 ", "me/odd "] {
        assert!(checked.out.contains(name), "{name}: {}", checked.out);
    }
}

#[test]
fn i02_what_cannot_be_imported_is_named_and_the_rest_is() {
    let place = Place::new();
    place.file("crontab", "* * * * * true\n99 * * * * true\n");
    let said = place.run(&["import-crontab", "crontab"]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.starts_with("crontab:2: "), "{}", said.err);
    assert!(said.out.contains("name = \"true\""), "{}", said.out);
    let said = place.run(&["import-crontab", "no-such-file"]);
    assert_eq!(said.code, Some(5), "{}", said.err);
    fs::write(place.directory.path().join("binary"), b"\xff\xfe * *").unwrap();
    let said = place.run(&["import-crontab", "binary"]);
    assert_eq!(said.code, Some(5), "{}", said.err);
}
