//! Tests of `health.rs`.

use super::*;

const FINE: Measured = Measured {
    waiting: 0,
    queue_max: 1_000,
    lost_lately: 0,
    stalled: None,
    leaked: 0,
    spool: None,
    sync_error: None,
};

#[test]
fn each_fact_has_its_reason_and_a_given_up_service_outweighs_them_all() {
    let health = HealthState::default();
    assert_eq!(health.assess(FINE), Health::Healthy);
    let at = |micros| Timestamp::from_micros(micros);
    health.store_failed(at(7), &StoreError::unreachable("x", "locked"));
    health.store_failed(at(9), &StoreError::unreachable("x", "full"));
    let measured = Measured {
        waiting: 750,
        lost_lately: 2,
        leaked: 1,
        spool: Some((750, 1_000)),
        sync_error: Some("cannot sync".into()),
        ..FINE
    };
    let Health::Degraded(reasons) = health.assess(measured.clone()) else {
        panic!("not degraded");
    };
    let (since, error) = (at(7), "full".to_owned());
    let said = "the store has taken nothing since 1970-01-01T00:00:00Z: full";
    assert_eq!(reasons[0].to_string(), said);
    assert_eq!(
        reasons[0],
        Degradation::StoreUnavailable {
            since,
            error,
            fault: StoreFault::Other
        }
    );
    assert_eq!(reasons.len(), 6, "{reasons:?}");
    health.store_answered();
    assert_eq!(health.assess(FINE), Health::Healthy);
    health.service_failed("drain", "panicked", false);
    assert_eq!(health.assess(FINE), Health::Healthy);
    health.service_failed("drain", "panicked", true);
    assert_eq!(health.assess(measured).as_str(), "failed");
}
