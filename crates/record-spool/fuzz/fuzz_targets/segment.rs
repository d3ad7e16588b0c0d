//! Any bytes as a segment's file: `cargo fuzz run segment ../tests/corpus ../tests/fixtures`. What has
//! to hold stands in the file that the driver among the tests uses too.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/check/mod.rs"]
mod check;

fuzz_target!(|bytes: &[u8]| {
    check::check(bytes);
});
