//! Tests of `recorded.rs`.

use super::*;
use crate::{listener, record};

#[test]
#[should_panic(expected = "`hall` ended in [Success], not [Error]; recorded were:\n  hall success")]
fn what_was_recorded_instead_is_said() {
    let records = [record(&listener("hall"), None, 0)];
    assert_recorded!(records, "hall" => [Status::Error]);
}
