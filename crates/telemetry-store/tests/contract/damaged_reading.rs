//! Clause G05: a damaged database answers as far as it can be read, and says what it leaves out.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use executor_core::lines::Lines;
use executor_core::ports::{
    Filter, History, HistoryError, Order, PageRequest, RecordStore, RegistrationStore, Scope,
};
use executor_core::{Failure, Status};
use executor_testkit as kit;
use telemetry_store::SqliteHistory;

use crate::faults::records;
use crate::support::{Database, persist};

/// Pages of a damaged table come to an end, with an error or without: an overwritten page may give the same rows again
/// and again.
#[tokio::test]
async fn g05_whatever_is_damaged_the_pages_of_a_query_come_to_an_end() {
    let database = Database::new();
    let store = database.open().await;
    persist(&store, &kit::session(), records(300))
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    let whole = fs::read(database.url()).unwrap();
    let mut ended = [0, 0];
    for page in 1..whole.len() / 4_096 {
        let mut hurt = whole.clone();
        hurt[page * 4_096..(page + 1) * 4_096].fill(0);
        fs::write(database.url(), &hurt).unwrap();
        for order in [Order::LatestFirst, Order::OldestFirst] {
            let is_error = count_pages(&database.history(), &Filter::default(), order)
                .await
                .is_err();
            ended[usize::from(is_error)] += 1;
        }
        assert_eq!(
            fs::read(database.url()).unwrap(),
            hurt,
            "reading changes nothing"
        );
    }
    assert!(ended[0] > 0 && ended[1] > 0, "{ended:?}");
}

/// Executions of which every third one failed, of two listeners, so that each table and index has leaves of its own.
async fn history_of(count: u64) -> Database {
    let database = Database::new();
    let store = database.open().await;
    let listeners = [kit::listener("hall"), kit::listener("porch")];
    let mut batch = Vec::new();
    for listener in &listeners {
        store.register(listener.clone()).await.unwrap();
    }
    for at in 0..count {
        let mut record = kit::record(&listeners[usize::from(at % 2 == 1)], None, at);
        if at % 3 == 0 {
            record.status = Status::Error;
            let text = "no answer ".repeat(20);
            record.failure = Some(Arc::new(Failure {
                error_type: "Timeout".into(),
                message: text,
                report: None,
            }));
        }
        record.lines = Some(Arc::new(Lines::from_parts(
            1,
            1,
            90,
            false,
            "0 i  said".repeat(9),
        )));
        batch.push(record);
    }
    persist(&store, &kit::session(), batch).await.unwrap();
    store.close().await.unwrap();
    database
}

#[derive(Debug)]
struct PageOfFile {
    number: usize,
    of: String,
    cells: usize,
}

/// The leaves of the tables and indexes of executions.
fn leaves(database: &Database) -> Vec<PageOfFile> {
    let outside = database.outside();
    let question = "SELECT pageno, name, ncell FROM dbstat WHERE pagetype = 'leaf' AND name IN ( \
                    SELECT name FROM sqlite_schema WHERE tbl_name IN ('executions', 'execution_errors', 'execution_lines'))";
    let mut statement = outside.prepare(question).unwrap();
    let pages = statement.query_map([], |row| {
        Ok(PageOfFile {
            number: row.get::<_, i64>(0)? as usize - 1,
            of: row.get(1)?,
            cells: row.get::<_, i64>(2)? as usize,
        })
    });
    pages.unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn g05_what_is_not_on_a_damaged_page_is_found_and_the_rest_is_told() {
    const COUNT: u64 = 420;
    let database = history_of(COUNT).await;
    let whole = fs::read(database.url()).unwrap();
    let leaves = leaves(&database);
    let of_table = leaves.iter().filter(|page| page.of == "executions").count();
    assert!(of_table > 5 && leaves.len() > 2 * of_table, "{leaves:?}");
    let failed = Filter {
        statuses: vec![Status::Error],
        ..Filter::default()
    };
    let of_app = Filter {
        scope: Scope::App("lights".into()),
        ..Filter::default()
    };
    let said = Filter {
        error_text: Some("no answer".into()),
        ..Filter::default()
    };
    for page in &leaves {
        let mut hurt = whole.clone();
        hurt[page.number * 4_096..(page.number + 1) * 4_096].fill(0);
        fs::write(database.url(), &hurt).unwrap();
        for (filter, count, step) in [
            (Filter::default(), COUNT, 1),
            (of_app.clone(), COUNT, 1),
            (failed.clone(), COUNT / 3, 3),
            (said.clone(), COUNT / 3, 3),
        ] {
            for order in [Order::LatestFirst, Order::OldestFirst] {
                let history = database.history();
                let found = count_pages(&history, &filter, order).await;
                let found = found
                    .unwrap_or_else(|error| panic!("{page:?} {filter:?} {order:?}: {error:?}"));
                // Each row of the table, and one that failed for each row of errors.
                let lost = match page.of.as_str() {
                    "executions" => page.cells.div_ceil(step),
                    "execution_errors" if filter.error_text.is_some() => page.cells,
                    _ => 0,
                };
                let least = count as usize - lost;
                assert!(
                    found >= least,
                    "{found} of {least}: {page:?} {filter:?} {order:?}"
                );
                let told = history.left_out();
                assert!(
                    found == count as usize || !told.is_empty(),
                    "{page:?} {told:?}"
                );
            }
        }
        assert!(
            fs::read(database.url()).unwrap() == hurt,
            "reading changes nothing"
        );
    }
}

/// By its id each execution is found whose row is whole, with what of it can be read.
#[tokio::test]
async fn g05_an_execution_is_found_by_its_id_whatever_else_is_damaged() {
    let database = history_of(120).await;
    let whole = fs::read(database.url()).unwrap();
    let history = database.history();
    let found = history.executions(Filter::default(), PageRequest::first(200));
    let ids: Vec<_> = found.await.unwrap().items;
    let ids: Vec<_> = ids.iter().map(|it| it.record.execution_id).collect();
    let beside = leaves(&database)
        .into_iter()
        .filter(|page| page.of != "executions");
    let mut with_lines_lost = 0;
    for page in beside {
        let mut hurt = whole.clone();
        hurt[page.number * 4_096..(page.number + 1) * 4_096].fill(0);
        fs::write(database.url(), &hurt).unwrap();
        let history = database.history();
        let mut silent = 0;
        for id in &ids {
            let found = history.execution(*id).await.unwrap().unwrap();
            silent += usize::from(found.record.lines.is_none());
        }
        let lost = if page.of == "execution_lines" {
            page.cells
        } else {
            0
        };
        assert_eq!(silent, lost, "{page:?}");
        assert!(silent == 0 || !history.left_out().is_empty());
        with_lines_lost += silent;
    }
    assert!(with_lines_lost > 100, "{with_lines_lost}");
}

/// What lies whole between two damaged pages is found, and of an app without what says which orphans are its own.
#[tokio::test]
async fn g05_what_lies_between_two_damaged_pages_is_found() {
    const COUNT: usize = 420;
    let database = history_of(COUNT as u64).await;
    let whole = fs::read(database.url()).unwrap();
    let of_table: Vec<_> = leaves(&database)
        .into_iter()
        .filter(|page| page.of == "executions")
        .collect();
    let of_app = Filter {
        scope: Scope::App("lights".into()),
        ..Filter::default()
    };
    // Beside a damaged end of the table nobody knows where the next row could be.
    for pair in of_table[1..of_table.len() - 1].windows(3) {
        let mut hurt = whole.clone();
        for page in [&pair[0], &pair[2]] {
            hurt[page.number * 4_096..(page.number + 1) * 4_096].fill(0);
        }
        fs::write(database.url(), &hurt).unwrap();
        for filter in [&Filter::default(), &of_app] {
            for order in [Order::LatestFirst, Order::OldestFirst] {
                let found = count_pages(&database.history(), filter, order)
                    .await
                    .unwrap();
                assert_eq!(
                    found,
                    COUNT - pair[0].cells - pair[2].cells,
                    "{pair:?} {filter:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn g05_a_row_with_a_value_that_nobody_knows_is_left_out_of_a_page_and_told() {
    let database = history_of(12).await;
    let outside = database.outside();
    let set = "UPDATE executions SET status = 42 WHERE id = (SELECT max(id) FROM executions)";
    outside.execute(set, []).unwrap();
    let row = database.number("SELECT max(id) FROM executions");
    let history = database.history();
    let found = count_pages(&history, &Filter::default(), Order::LatestFirst).await;
    assert_eq!(found.unwrap(), 11);
    let told =
        format!("row {row} of executions has the status 42, which this program does not know");
    assert_eq!(history.left_out(), [told]);
}

async fn count_pages(
    history: &SqliteHistory,
    filter: &Filter,
    order: Order,
) -> Result<usize, HistoryError> {
    let first = PageRequest {
        order,
        ..PageRequest::first(70)
    };
    let (mut request, mut ids) = (first.clone(), HashSet::new());
    for _ in 0..100 {
        let page = history.executions(filter.clone(), request).await?;
        assert!(page.items.is_sorted_by_key(|it| match order {
            Order::OldestFirst => it.record.ended_at().as_micros(),
            Order::LatestFirst => -it.record.ended_at().as_micros(),
        }));
        for item in page.items {
            assert!(ids.insert(item.record.execution_id), "found twice");
        }
        match page.next {
            Some(next) => request = first.following(next),
            None => return Ok(ids.len()),
        }
    }
    panic!("no end after a hundred pages");
}
