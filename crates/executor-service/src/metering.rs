//! Publishes the ledger and the health as metrics, every five seconds and at the end. The metric names are a
//! contract:
//!
//! | name | kind | what |
//! |---|---|---|
//! | `executor_records_offered_total` | counter | records of this process |
//! | `executor_records_recovered_total` | counter | records of earlier processes |
//! | `executor_records_stored_total` | counter | rows of the store |
//! | `executor_records_filtered_total` | counter | left out by the recording policy |
//! | `executor_records_dropped_total` | counter | given up, by the label `reason` |
//! | `executor_records_waiting` | gauge | on their way to the store |
//! | `executor_records_spooled` | gauge | left for a later process |
//! | `executor_records_durability` | gauge | what waiting records survive: 0 nothing, 1 the process's death, 2 the machine's |
//! | `executor_restarts_total` | counter | failures of a part that was started again |
//! | `executor_executions_total` | counter | executions that ended, by the labels `app` and `status` |
//! | `executor_execution_duration_seconds` | histogram | how long they ran, to 3 %, by the label `app`; skipped ones left out |
//! | `executor_store_available` | gauge | 1, or 0 while the store takes nothing |
//!
//! The counters of one process balance as its ledger does: the first two equal the sum of the others that count
//! records.

pub(crate) mod tally;

use std::sync::Arc;
use std::time::Duration;

use executor_core::DropReason;
use metrics::{counter, gauge};

use crate::intake::Intake;
use crate::lifecycle::health::HealthState;
use crate::lifecycle::supervise::{Fault, Supervised};

const EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Metering {
    pub(crate) intake: Arc<Intake>,
    pub(crate) health: Arc<HealthState>,
}

impl Supervised for Metering {
    const NAME: &'static str = "metering";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            publish(&self.intake, &self.health);
            tokio::time::sleep(EVERY).await;
        }
    }
}

pub(crate) fn publish(intake: &Intake, health: &HealthState) {
    intake.take_tally().publish();
    let ledger = intake.ledger();
    counter!("executor_records_offered_total").absolute(ledger.offered);
    counter!("executor_records_recovered_total").absolute(ledger.recovered);
    counter!("executor_records_stored_total").absolute(ledger.stored);
    counter!("executor_records_filtered_total").absolute(ledger.filtered);
    for reason in DropReason::ALL {
        let dropped = counter!("executor_records_dropped_total", "reason" => reason.as_str());
        dropped.absolute(ledger.dropped(reason));
    }
    gauge!("executor_records_waiting").set(ledger.waiting as f64);
    gauge!("executor_records_spooled").set(ledger.spooled as f64);
    let level = ledger.durability.map_or(0, |level| level as u8 + 1);
    gauge!("executor_records_durability").set(f64::from(level));
    counter!("executor_restarts_total").absolute(health.restarts());
    let is_available = u8::from(health.store_is_available());
    gauge!("executor_store_available").set(f64::from(is_available));
}
