//! The examples do what they say.

use std::process::Command;

#[test]
fn lights_records_every_execution() {
    let directory = tempfile::tempdir().unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_lights"));
    let output = example.current_dir(directory.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "motion.hall at 40 lux");
    assert!(lines[1].ends_with(": success"), "{text}");
    assert!(lines[2].ends_with(": error"), "{text}");
    assert_eq!(lines[3], "offered 3, stored 3, durability process");
    assert!(directory.path().join("telemetry.db").exists());
}
