//! How a search that takes too long is left, and goes on.

use std::sync::Arc;

use executor_core::Timestamp;
use executor_core::ports::{Batch, Order, RecordStore};
use executor_testkit as kit;

use super::*;
use crate::read::question::{Deadline, LeftOut};
use crate::read::search::SLICE;
use crate::sqlite::open::address::Target;
use crate::sqlite::open::open_reader;
use crate::sqlite::store::SqliteStore;

#[tokio::test]
async fn g02_a_search_says_how_far_it_has_come_and_goes_on_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("telemetry.db");
    let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
    let count = u64::from(SLICE) * 2 + 10;
    let hall = kit::listener("hall");
    let mut records: Vec<_> = (0..count).map(|at| kit::record(&hall, None, at)).collect();
    // It ended first all the same.
    records[0].started_at = Timestamp::from_micros(records[0].started_at.as_micros() - 995_000);
    records[0].duration = Duration::from_secs(1);
    let (oldest, last) = (records[0].clone(), records[count as usize - 1].clone());
    let session = kit::session();
    store
        .persist(Arc::new(Batch { session, records }))
        .await
        .unwrap();

    let (mut connection, _) = open_reader(&Target::File(path)).unwrap();
    let mut asked = Asked {
        connection: &mut connection,
        deadline: Deadline::after(Duration::from_secs(30)),
        left_out: &LeftOut::default(),
    };
    let filter = Filter {
        min_duration: Some(Duration::from_millis(500)),
        ..Filter::default()
    };
    let residue = Residue::of(&filter).unwrap();
    let mut cursor = Cursor {
        order: Order::LatestFirst,
        after: None,
    };
    let mut ends = vec![last.ended_at()];
    let found = loop {
        // There is no time for more than one slice.
        let now = Instant::now();
        let mut searched = Search {
            asked: &mut asked,
            filter: &filter,
            residue: &residue,
            order: cursor.order,
        };
        let page = search(&mut searched, cursor, 1, now).unwrap();
        match (page.searched_to, page.next) {
            (Some(end), Some(next)) => {
                assert!(page.places.is_empty());
                ends.push(end);
                cursor.after = Some(next);
            }
            _ => break page,
        }
    };
    assert_eq!(ends.len(), 3, "two slices in which it is not");
    assert!(ends.is_sorted_by(|one, other| one > other), "{ends:?}");
    let items = by_rows(&mut asked, &found.places, Order::LatestFirst).unwrap();
    assert_eq!(items[0].record.execution_id, oldest.execution_id);
}
