//! Tests of `outcome.rs`.

use super::*;

#[test]
fn every_status_is_found_by_its_number() {
    for status in Status::ALL {
        assert_eq!(Status::from_code(i64::from(status.code())), Some(status));
    }
    assert_eq!(Status::from_code(7), None);
    assert_eq!(Status::from_code(-1), None);
}
