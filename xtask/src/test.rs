//! Every test there is. Examples and helper programs are built on the way; benchmarks are not
//! tests and are left to `bench`.

use crate::shell;

pub(crate) fn run() -> anyhow::Result<()> {
    shell::run(&mut shell::cargo(&["test", "--workspace"]))?;
    eprintln!("\nall tests passed");
    Ok(())
}
