//! What the compiler says about natural mistakes. Its words change with every version, so they are compared on one.

use std::process::Command;

const COMPILER: &str = "rustc 1.95.";

#[test]
fn natural_mistakes_are_answered_with_what_to_do() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.unwrap_or_default();
    if !version.starts_with(COMPILER) {
        eprintln!("skipped: these messages are those of {COMPILER}x, not of {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
