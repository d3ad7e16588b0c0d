//! Clause D5: what is at the path, and what may be done to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use executor_core::ports::{
    History, HistoryErrorClass, Housekeeping, RecordStore, SessionStore, Window,
};
use executor_testkit as kit;
use telemetry_store::migrate::Migrator;
use telemetry_store::{OpenError, SqliteHistory, SqliteOptions, SqliteStore};

use crate::faults::records;
use crate::support::{Database, cause, persist};

/// Everything in a directory: names, bytes and times.
fn everything_in(directory: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let changed = entry.metadata().unwrap().modified().unwrap();
            (name, (fs::read(entry.path()).unwrap(), changed))
        })
        .collect()
}

#[tokio::test]
async fn d05_an_absent_database_is_created_and_opened_again() {
    let database = Database::new();
    database.open().await.health().await.unwrap();
    database.open().await.health().await.unwrap();
    assert_eq!(database.text("PRAGMA journal_mode"), "wal");
    assert_eq!(database.number("PRAGMA auto_vacuum"), 2, "incremental");
    assert_eq!(database.number("PRAGMA application_id"), 0x6378_7263);
}

#[tokio::test]
async fn d05_an_empty_file_is_as_good_as_none() {
    let database = Database::new();
    fs::write(&database.path, "").unwrap();
    database.open().await.health().await.unwrap();
}

#[tokio::test]
async fn d05_what_is_not_ours_is_refused_and_not_one_byte_changes() {
    let foreign = |path: &Path| {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection
            .pragma_update(None, "journal_mode", "wal")
            .unwrap();
        connection
            .execute_batch("CREATE TABLE cats (name TEXT)")
            .unwrap();
    };
    let garbage = |path: &Path| fs::write(path, "no database at all\n".repeat(1_000)).unwrap();
    let short = |path: &Path| fs::write(path, "x").unwrap();
    type Maker<'a> = (&'a dyn Fn(&Path), bool);
    let makers: [Maker<'_>; 3] = [(&foreign, true), (&garbage, false), (&short, false)];
    for (make, is_database) in makers {
        let database = Database::new();
        make(&database.path);
        let before = everything_in(database.directory.path());
        let refused = SqliteStore::open(database.url()).await.err().unwrap();
        match refused {
            OpenError::Foreign { .. } => assert!(is_database),
            OpenError::NotADatabase { .. } => assert!(!is_database),
            other => panic!("{other}"),
        }
        let unread = database
            .history()
            .summaries(Window::default())
            .await
            .unwrap_err();
        assert!(cause(&unread).contains("left untouched"), "{unread:?}");
        assert_eq!(everything_in(database.directory.path()), before);
    }
}

#[tokio::test]
async fn d05_what_another_program_has_not_checkpointed_is_not_touched() {
    let (theirs, database) = (Database::new(), Database::new());
    let outside = theirs.outside();
    let cats = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; \
                CREATE TABLE cats (name TEXT); INSERT INTO cats VALUES ('Mia')";
    outside.execute_batch(cats).unwrap();
    // As a kill leaves it: whoever opens it for writing has to recover it.
    for suffix in ["", "-wal"] {
        let name = |database: &Database| format!("{}{suffix}", database.url());
        fs::copy(name(&theirs), name(&database)).unwrap();
    }
    let before = everything_in(database.directory.path());
    assert_eq!(before.len(), 2);
    let refused = SqliteStore::open(database.url()).await.err();
    assert!(
        matches!(refused, Some(OpenError::Foreign { .. })),
        "{refused:?}"
    );
    assert_eq!(everything_in(database.directory.path()), before);
}

#[tokio::test]
async fn d05_our_own_database_is_known_after_a_checkpoint_was_cut_off() {
    let database = Database::new();
    drop(database.open().await);
    let outside = database.outside();
    let grow = "INSERT INTO sessions (session_uuid, host, pid, started_us, heartbeat_us, status) \
                VALUES (randomblob(16), hex(randomblob(20000)), 1, 1, 1, 'success')";
    outside
        .execute_batch("PRAGMA wal_autocheckpoint = 0")
        .unwrap();
    outside.execute(grow, []).unwrap();
    // The first page is written back and says how long the file will be; the file is not grown.
    let wal = database.directory.path().join("telemetry.db-wal");
    let kept = fs::read(&wal).unwrap();
    let short = fs::metadata(&database.path).unwrap().len();
    outside
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .unwrap();
    std::mem::forget(outside);
    let whole = fs::read(&database.path).unwrap();
    assert!(whole.len() as u64 > short);
    let victim = Database::new();
    fs::write(&victim.path, &whole[..usize::try_from(short).unwrap()]).unwrap();
    fs::write(victim.directory.path().join("telemetry.db-wal"), kept).unwrap();
    victim.open().await.health().await.unwrap();
    assert_eq!(victim.number("SELECT count(*) FROM sessions"), 1);
    assert_eq!(victim.text("PRAGMA integrity_check"), "ok");
}

#[tokio::test]
async fn d05_a_newer_database_is_refused_naming_both_versions() {
    let database = Database::new();
    drop(database.open().await);
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')";
    database.outside().execute(newer, []).unwrap();
    let refused = SqliteStore::open(database.url()).await.err().unwrap();
    let text = refused.to_string();
    assert!(
        text.contains("29991231000001") && text.contains("_answers"),
        "{text}"
    );
}

#[tokio::test]
async fn d05_a_newer_database_is_not_read_either() {
    let database = Database::new();
    drop(database.open().await);
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')";
    database.outside().execute(newer, []).unwrap();
    let unread = database.history().summaries(Window::default()).await;
    let text = cause(&unread.unwrap_err());
    assert!(
        text.contains("29991231000001") && text.contains("_answers"),
        "{text}"
    );
}

#[tokio::test]
async fn d05_an_older_database_is_migrated_and_keeps_its_rows() {
    let database = Database::new();
    let store = database.open().await;
    let records = (0..50)
        .map(|at| kit::record(&kit::listener("hall"), None, at))
        .collect();
    persist(&store, &kit::session(), records).await.unwrap();
    drop(store);
    let migrations = "SELECT count(*) FROM __diesel_schema_migrations";
    let all = database.number(migrations);
    // As far down as rows can stay.
    let mut migrator = Migrator::open(database.url()).unwrap();
    migrator.down().unwrap();
    drop(migrator);
    assert_eq!(database.number(migrations), all - 1);
    let store = database.open().await;
    store.health().await.unwrap();
    assert_eq!(database.number(migrations), all);
    let summed = database.history().overall(Window::default()).await.unwrap();
    assert_eq!(summed.runs(), 50);
    let one_more = vec![kit::record(&kit::listener("hall"), None, 100)];
    persist(&store, &kit::session(), one_more).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM executions"), 51);
}

#[tokio::test]
async fn d05_paths_are_taken_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    for name in [
        "with space.db",
        "ünï.db",
        "a%20b.db",
        "what?.db",
        "c#1.db",
        "file:x.db",
    ] {
        let path = directory.path().join(name);
        let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
        store.health().await.unwrap();
        assert!(path.exists(), "{name}");
    }
    let url = format!("sqlite://{}/url.db", directory.path().display());
    SqliteStore::open(&url).await.unwrap();
    assert!(directory.path().join("url.db").exists());
}

#[tokio::test]
async fn d05_what_cannot_be_a_database_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let inside = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let why = async |url: &str| {
        let error = SqliteStore::open(url).await.err().unwrap();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    };
    assert!(
        why(directory.path().to_str().unwrap())
            .await
            .contains("is a directory")
    );
    assert!(
        why(&inside("no/such/dir.db"))
            .await
            .contains("No such file")
    );
    assert!(why("").await.contains("names no file"));
    assert!(why("postgres://localhost/x").await.contains("SQLite only"));
    assert!(why("mysql://localhost/x").await.contains("only sqlite:"));
    let absent = SqliteHistory::new(&inside("absent.db")).unwrap();
    let unread = absent.summaries(Window::default()).await.unwrap_err();
    assert_eq!(unread.class, HistoryErrorClass::Absent);
    assert!(cause(&unread).starts_with("no database at"), "{unread:?}");
    assert!(!directory.path().join("absent.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_starters_at_the_same_time_do_not_collide() {
    for _ in 0..10 {
        let database = Database::new();
        let mut starters = Vec::new();
        for _ in 0..4 {
            let url = database.url().to_owned();
            starters.push(tokio::spawn(async move {
                SqliteStore::open(&url).await.map(drop)
            }));
        }
        for starter in starters {
            starter.await.unwrap().unwrap();
        }
        assert_eq!(
            database.number("SELECT count(*) FROM __diesel_schema_migrations"),
            6
        );
    }
}

/// The permission bits of a path.
fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn d05_what_is_made_is_its_owners_alone_unless_more_is_asked_for() {
    for (asked, file, directory) in [
        (None, 0o600, 0o700),
        (Some(0o644), 0o644, 0o755),
        (Some(0o640), 0o640, 0o750),
    ] {
        let database = Database::new();
        let mut options = SqliteOptions::default();
        options.file_mode = asked.unwrap_or(options.file_mode);
        let store = SqliteStore::open_with(database.url(), options)
            .await
            .unwrap();
        let session = kit::session();
        store.open_session(session.clone()).await.unwrap();
        let beside = |name: String| database.directory.path().join(name);
        assert_eq!(mode_of(&database.path), file);
        for suffix in ["-wal", "-shm"] {
            assert_eq!(mode_of(&beside(format!("telemetry.db{suffix}"))), file);
        }
        let sessions = beside("telemetry.db.sessions".into());
        assert_eq!(mode_of(&sessions), directory);
        assert_eq!(mode_of(&sessions.join(session.id.to_string())), file);
    }
}

#[tokio::test]
async fn d05_a_mode_that_is_there_stays() {
    use std::os::unix::fs::PermissionsExt;
    let database = Database::new();
    fs::write(&database.path, "").unwrap();
    fs::set_permissions(&database.path, fs::Permissions::from_mode(0o664)).unwrap();
    drop(database.open().await);
    assert_eq!(mode_of(&database.path), 0o664);
}

/// Everything that is no file, at the path itself and beside it. None is opened: a pipe would wait for its other
/// end, a device would be written to.
#[tokio::test]
async fn d05_what_is_no_file_is_refused_unopened() {
    let make_pipe = |path: &Path| {
        let mut mkfifo = std::process::Command::new("mkfifo");
        assert!(mkfifo.arg(path).status().unwrap().success());
    };
    let make_socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let make_directory = |path: &Path| fs::create_dir(path).unwrap();
    let make_link = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    type Make<'m> = &'m dyn Fn(&Path);
    let makers: [(Make<'_>, &str); 4] = [
        (&make_pipe, "pipe"),
        (&make_socket, "socket"),
        (&make_directory, "directory"),
        (&make_link, "device"),
    ];
    for (make, what) in makers {
        let database = Database::new();
        make(&database.path);
        let refused = SqliteStore::open(database.url())
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            refused.contains(&format!("is a {what}, not a file")),
            "{refused}"
        );
        let unread = database
            .history()
            .summaries(Window::default())
            .await
            .unwrap_err();
        assert!(cause(&unread).contains(what), "{unread:?}");
        assert_eq!(fs::read_dir(database.directory.path()).unwrap().count(), 1);
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        let database = Database::new();
        database.open().await.close().await.unwrap();
        make_pipe(
            &database
                .directory
                .path()
                .join(format!("telemetry.db{suffix}")),
        );
        let refused = SqliteStore::open(database.url())
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            refused.contains("is a pipe, not a file"),
            "{suffix}: {refused}"
        );
    }
}

#[tokio::test]
async fn d05_a_block_device_keeps_every_byte() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    let losetup = |arguments: &[&str]| {
        std::process::Command::new("losetup")
            .args(arguments)
            .output()
    };
    let Ok(attached) = losetup(&["--find", "--show", image.to_str().unwrap()]) else {
        return eprintln!("SKIPPED: there is no losetup here");
    };
    if !attached.status.success() {
        return eprintln!(
            "SKIPPED: attaching a block device is not permitted here; run this test as root"
        );
    }
    let device = String::from_utf8(attached.stdout)
        .unwrap()
        .trim()
        .to_owned();
    let refused = SqliteStore::open(&device)
        .await
        .err()
        .map(|error| error.to_string());
    losetup(&["--detach", &device]).unwrap();
    assert!(refused.unwrap().contains("is a device, not a file"));
    assert!(fs::read(&image).unwrap().iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn d05_a_link_to_a_database_is_followed_and_so_is_one_to_nothing_yet() {
    let database = Database::new();
    let link = database.directory.path().join("link.db");
    std::os::unix::fs::symlink("telemetry.db", &link).unwrap();
    for _ in 0..2 {
        let store = SqliteStore::open(link.to_str().unwrap()).await.unwrap();
        store.health().await.unwrap();
        store.close().await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::symlink_metadata(&database.path).unwrap().is_file());
    }
}

/// What earlier versions left where they were killed while they made a database.
#[tokio::test]
async fn d05_an_empty_database_that_says_not_whose_it_is_is_opened_and_one_that_does_is_not() {
    let half_made = "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; VACUUM";
    let database = Database::new();
    database.outside().execute_batch(half_made).unwrap();
    assert!(fs::metadata(&database.path).unwrap().len() > 0);
    for count in [3, 4] {
        let store = database.open().await;
        persist(&store, &kit::session(), records(count))
            .await
            .unwrap();
        // As a kill leaves it: what was written stands in the log alone.
        std::mem::forget(store);
    }
    let reader = SqliteHistory::new(database.url()).unwrap();
    assert_eq!(reader.count(Window::default()).await.unwrap(), 7);
    for theirs in [
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 7",
        "CREATE TABLE cats (name TEXT)",
    ] {
        let database = Database::new();
        database
            .outside()
            .execute_batch(&format!("{half_made}; {theirs}; VACUUM"))
            .unwrap();
        let before = everything_in(database.directory.path());
        let refused = SqliteStore::open(database.url()).await.err();
        assert!(
            matches!(refused, Some(OpenError::Foreign { .. })),
            "{theirs}: {refused:?}"
        );
        assert_eq!(everything_in(database.directory.path()), before);
    }
}

#[tokio::test]
async fn d05_what_others_left_half_made_goes_and_what_only_looks_like_it_stays() {
    let database = Database::new();
    let beside = |name: &str| database.directory.path().join(name);
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let (left, journal) = (
        format!(".telemetry.db.new-{id}"),
        format!(".telemetry.db.new-{id}-journal"),
    );
    let theirs = [
        ".telemetry.db.new-notes",
        ".other.db.new-01890a5d-ac96-774b-bcce-b302099a8057",
        "notes",
    ];
    for name in [left.as_str(), journal.as_str()].into_iter().chain(theirs) {
        fs::write(beside(name), name).unwrap();
    }
    // One whose maker lives.
    let living = format!(".telemetry.db.new-{}", id.replace('8', "9"));
    let held = fs::File::create(beside(&living)).unwrap();
    held.lock().unwrap();
    drop(database.open().await);
    assert!(!beside(&left).exists() && !beside(&journal).exists());
    for name in theirs.into_iter().chain([living.as_str()]) {
        assert!(beside(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn d05_a_damaged_database_is_said_to_be_and_what_to_do() {
    let database = Database::new();
    database.open().await.close().await.unwrap();
    let mut bytes = fs::read(&database.path).unwrap();
    for page in bytes.chunks_mut(4_096).skip(1) {
        page.fill(0x5A);
    }
    bytes[100..200].fill(0x5A);
    fs::write(&database.path, bytes).unwrap();
    let refused = SqliteStore::open(database.url()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
    assert!(refused.to_string().contains("move it aside"), "{refused}");
}
