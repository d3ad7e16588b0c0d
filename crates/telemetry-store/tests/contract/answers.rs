//! What the tables hold so that a history can answer why: counts by session and hour, topics, and views.

use std::time::Duration;

use executor_core::ports::{Fate, Housekeeping, PruneRule, PruneSlice, SessionStore};
use executor_core::{ExecutionRecord, Timestamp};
use executor_testkit as kit;
use rusqlite::Connection;
use telemetry_store::migrate::Migrator;

use crate::support::{Database, persist};

/// Sessions and hours whose rows and pruned rows are not what was stored.
const UNEVEN: &str = "
WITH counted AS (
    SELECT session_id, (start_us + duration_us) / 3600000000 * 3600000000 AS hour_us, count(*) AS count
    FROM executions GROUP BY 1, 2)
SELECT count(*) FROM session_hours h LEFT JOIN counted c USING (session_id, hour_us)
WHERE h.stored <> h.pruned + coalesce(c.count, 0)";

/// An execution every ten minutes, `count` of them.
fn records(count: u64) -> Vec<ExecutionRecord> {
    let hall = kit::listener("hall");
    let at = |number| kit::record(&hall, None, number * 600_000);
    (0..count).map(at).collect()
}

#[tokio::test]
async fn g03_rows_and_pruned_rows_of_each_hour_add_up_to_what_was_stored() {
    let database = Database::new();
    let store = database.open().await;
    let (first, second) = (kit::session(), kit::session());
    let records = records(60);
    persist(&store, &first, records[..40].to_vec())
        .await
        .unwrap();
    // A batch that is stored again, in part, and one with a row that the table refuses.
    persist(&store, &second, records[30..50].to_vec())
        .await
        .unwrap();
    let refuse = "CREATE TRIGGER bad BEFORE INSERT ON executions WHEN NEW.args_json = 'bad' \
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.outside().execute_batch(refuse).unwrap();
    let mut last = records[50..].to_vec();
    last[3].arguments_json = Some("bad".into());
    let fates = persist(&store, &second, last).await.unwrap();
    assert!(matches!(fates[3], Fate::SetAside { .. }), "{fates:?}");
    assert_eq!(database.number(UNEVEN), 0);
    let sum = "SELECT sum(stored) * 1000 + sum(pruned) FROM session_hours";
    assert_eq!(database.number(sum), 59_000);

    let before = PruneRule::EndedBefore(records[33].ended_at());
    let slice = PruneSlice::new(before, 10);
    while store.prune(slice).await.unwrap() > 0 {}
    assert_eq!(database.number(UNEVEN), 0);
    assert_eq!(database.number(sum), 59_033);
    assert_eq!(database.number("SELECT sum(pruned) FROM sessions"), 33);
    assert_eq!(database.number("SELECT sum(count) FROM prunes"), 33);
    // What is lost some other way does not add up.
    let lose = "DELETE FROM executions WHERE id = (SELECT max(id) FROM executions)";
    database.outside().execute_batch(lose).unwrap();
    assert_eq!(database.number(UNEVEN), 1);
}

#[tokio::test]
async fn d08_a_topic_goes_with_the_last_row_that_has_it() {
    let database = Database::new();
    let store = database.open().await;
    let topics = ["motion.attic", "motion.hall", "motion.attic"];
    let mut records = records(3);
    for (record, topic) in records.iter_mut().zip(topics) {
        record.topic = Some(topic.into());
    }
    let ends: Vec<Timestamp> = records.iter().map(ExecutionRecord::ended_at).collect();
    persist(&store, &kit::session(), records).await.unwrap();
    let shown = "SELECT group_concat(topic || '<' || listens_to, ' ') FROM (SELECT * FROM executions_v ORDER BY id)";
    assert_eq!(
        database.text(shown),
        "motion.attic<motion.hall motion.hall<motion.hall motion.attic<motion.hall"
    );
    let left = "SELECT coalesce(group_concat(text, ' '), '-') FROM topics";
    for (before, expected) in [
        (ends[1], "motion.attic motion.hall"),
        (ends[2], "motion.attic"),
        (Timestamp::MAX, "-"),
    ] {
        let slice = PruneSlice::new(PruneRule::EndedBefore(before), 10);
        store.prune(slice).await.unwrap();
        assert_eq!(database.text(left), expected);
    }
}

#[tokio::test]
async fn d12_every_view_can_be_read_and_suits_sqlites_own_date_functions() {
    let database = Database::new();
    let store = database.open().await;
    let mut record = records(1).remove(0);
    record.due_at = Some(Timestamp::from_micros(1_767_225_599_999_999));
    record.exit_code = Some(3);
    persist(&store, &kit::session(), vec![record])
        .await
        .unwrap();
    let outside = database.outside();
    let mut views = outside
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")
        .unwrap();
    let views = views.query_map([], |row| row.get(0)).unwrap();
    let views: Vec<String> = views.map(Result::unwrap).collect();
    assert_eq!(
        views.join(" "),
        "errors_v executions_v gaps_v jobs_v lines_v listeners_v missed_runs_v pauses_v prunes_v \
         sessions_v sources_v"
    );
    for view in &views {
        let columns = columns_of(&outside, view);
        for time in columns
            .iter()
            .filter_map(|column| column.strip_suffix("_us"))
        {
            let text = match time {
                "from" => "began",
                "until" => "ended",
                "first" if view == "prunes_v" => "first_ended",
                "last" if view == "prunes_v" => "last_ended",
                time => time,
            };
            let has_text = columns.iter().any(|column| column == text);
            assert!(has_text, "{view}: {time} has a number and no text");
        }
    }
    let row = "SELECT concat_ws('|', due, due_us, exit_code, unixepoch(started), julianday(ended) IS NOT NULL, \
               strftime('%H:%M', started)) FROM executions_v";
    assert_eq!(
        database.text(row),
        "2025-12-31 23:59:59.999999|1767225599999999|3|1767225600|1|00:00"
    );
    let mut explained = outside
        .prepare("EXPLAIN QUERY PLAN SELECT * FROM executions_v WHERE id BETWEEN 1 AND 2")
        .unwrap();
    let details = explained.query_map([], |row| row.get(3)).unwrap();
    let details: Vec<String> = details.map(Result::unwrap).collect();
    assert!(
        details
            .iter()
            .any(|line| line.contains("USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)")),
        "{details:?}"
    );
}

fn columns_of(connection: &Connection, view: &str) -> Vec<String> {
    let statement = connection.prepare(&format!("SELECT * FROM {view}"));
    let statement = statement.unwrap();
    let names = statement.column_names().into_iter();
    names.map(str::to_owned).collect()
}

/// Nobody counted what sessions stored before; nothing can be said of them then.
#[tokio::test]
async fn e07_sessions_of_an_earlier_schema_are_kept_and_not_counted() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    persist(&store, &session, records(20)).await.unwrap();
    drop(store);
    Migrator::open(database.url()).unwrap().down().unwrap();
    let annotate = "INSERT INTO listeners (app_key, instance, name, topic, source_tier, immediate, hold_us) \
                    VALUES ('lights', 0, 'old', 'motion.hall', 'app', 1, 5)";
    database.outside().execute_batch(annotate).unwrap();
    let store = database.open().await;
    persist(&store, &kit::session(), records(30)[20..].to_vec())
        .await
        .unwrap();
    let later = session.started_at.saturating_add(Duration::from_secs(9));
    let beat = store.heartbeat(session.id, later, executor_core::Ledger::default());
    beat.await.unwrap();
    let counted = "SELECT group_concat(is_counted, ' ') FROM (SELECT * FROM sessions ORDER BY id)";
    assert_eq!(database.text(counted), "0 1");
    assert_eq!(database.number("SELECT sum(stored) FROM session_hours"), 10);
    let kept = "SELECT annotations FROM listeners WHERE name = 'old'";
    assert_eq!(database.text(kept), r#"{"immediate":true,"hold_us":5}"#);
    drop(store);
    Migrator::open(database.url()).unwrap().down().unwrap();
    let back = "SELECT immediate * 10 + hold_us FROM listeners WHERE name = 'old'";
    assert_eq!(database.number(back), 15);
    assert_eq!(database.number("SELECT count(*) FROM executions_v"), 30);
}

/// Each history has a name of its own, and keeps it.
#[tokio::test]
async fn g03_a_history_has_a_name_of_its_own() {
    let name = |database: &Database| database.text("SELECT hex(history_id) FROM history");
    let (one, other) = (Database::new(), Database::new());
    drop((one.open().await, other.open().await));
    let first = name(&one);
    assert_ne!(first, name(&other));
    drop(one.open().await);
    assert_eq!(first, name(&one));
}
