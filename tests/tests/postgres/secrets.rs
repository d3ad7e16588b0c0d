//! Clause H6: encrypted connections, whom they trust, and passwords that change.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use executor_core::ports::{Batch, RecordStore};
use executor_testkit::{self as kit, TempPostgres};
use telemetry_store::{PostgresStore, ServerError};

use crate::{options, skipped};

/// A certificate authority of our own, with a certificate for the host `localhost`.
struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    /// `None` where there is no `openssl`; then this says so.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let this = Self { directory };
        let of_authority =
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.crt";
        if !this.openssl(of_authority) {
            skipped("`openssl` is not installed");
            return None;
        }
        let request =
            "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr";
        let signed = "x509 -req -in server.csr -days 2 -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt";
        assert!(this.openssl(request) && this.openssl(signed));
        Some(this)
    }

    fn openssl(&self, arguments: &str) -> bool {
        let done = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.directory.path())
            .output();
        done.is_ok_and(|done| done.status.success())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A server with a certificate, on a loopback address of its own.
struct Encrypted {
    server: TempPostgres,
    address: String,
}

impl Encrypted {
    fn new(authority: &Authority) -> Option<Self> {
        let [one, two] = [fastrand::u8(1..255), fastrand::u8(1..255)];
        let address = format!("127.{one}.{two}.7");
        let server =
            TempPostgres::start_with(&["-c", &format!("listen_addresses={address}"), "-F"])?;
        // Beside its data, and its own.
        for name in ["server.crt", "server.key"] {
            let path = server.socket_directory().join("data").join(name);
            fs::copy(authority.path(name), &path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            if let Some((uid, gid)) = server.account() {
                std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
            }
        }
        server.ask("ALTER SYSTEM SET ssl = on", "postgres").unwrap();
        server.ask("SELECT pg_reload_conf()", "postgres").unwrap();
        server.wait_for("SHOW ssl", "postgres", "on");
        Some(Self { server, address })
    }

    /// The address of a database, trusting only an authority.
    fn url(&self, user: &str, host: &str, database: &str, trusted: &Path) -> String {
        format!(
            "postgres://{user}@{host}/{database}?hostaddr={}&sslmode=verify-full&sslrootcert={}",
            self.address,
            trusted.display()
        )
    }
}

async fn persist(store: &PostgresStore) -> Result<(), executor_core::StoreError> {
    let session = kit::session();
    let records = vec![kit::record(&kit::listener("hall"), None, 0)];
    let batch = Arc::new(Batch { session, records });
    store.persist(batch).await.map(drop)
}

#[tokio::test]
async fn h06_a_server_is_trusted_only_with_the_right_authority_and_name() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let Some(encrypted) = Encrypted::new(&authority) else {
        return;
    };
    let database = encrypted.server.database();
    let (options, _home) = options();
    let ours = authority.path("ca.crt");
    let url = encrypted.url("postgres", "localhost", &database, &ours);
    let store = PostgresStore::open_with(&url, options.clone())
        .await
        .unwrap();
    persist(&store).await.unwrap();
    let is_encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                        WHERE a.application_name LIKE 'executor/%'";
    assert_eq!(encrypted.server.ask(is_encrypted, &database).unwrap(), "t");
    let other = Authority::new().unwrap();
    for (host, trusted) in [
        ("localhost", other.path("ca.crt")),
        ("elsewhere.example", ours.clone()),
    ] {
        let url = encrypted.url("postgres", host, &database, &trusted);
        let mut options = options.clone();
        // It is no outage: waiting does not help.
        options.may_be_away = true;
        let refused = PostgresStore::open_with(&url, options).await.err().unwrap();
        assert!(
            matches!(refused, ServerError::Unreachable { .. }),
            "{refused}"
        );
        let told = refused.to_string();
        assert!(
            told.contains("certificate") || told.contains("SSL error"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn h06_a_password_that_changes_is_read_anew_with_the_next_connection() {
    let Some(authority) = Authority::new() else {
        return;
    };
    let Some(encrypted) = Encrypted::new(&authority) else {
        return;
    };
    let server = &encrypted.server;
    let database = server.database();
    let role = format!(
        "CREATE ROLE keeper LOGIN PASSWORD 'first'; ALTER DATABASE {database} OWNER TO keeper"
    );
    server.ask(&role, "postgres").unwrap();
    let hba = server.socket_directory().join("data/pg_hba.conf");
    let rules = "local all all trust\nhostssl all keeper 127.0.0.1/32 scram-sha-256\n";
    fs::write(&hba, rules).unwrap();
    server.ask("SELECT pg_reload_conf()", "postgres").unwrap();
    let home = tempfile::tempdir().unwrap();
    let passwords = home.path().join("pgpass");
    let write = |password: &str| {
        fs::write(&passwords, format!("*:*:*:keeper:{password}\n")).unwrap();
        fs::set_permissions(&passwords, Permissions::from_mode(0o600)).unwrap();
    };
    write("first");
    let url = encrypted.url("keeper", "localhost", &database, &authority.path("ca.crt"));
    let url = format!("{url}&passfile={}", passwords.display());
    let (options, _home) = options();
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    persist(&store).await.unwrap();
    server
        .ask("ALTER ROLE keeper PASSWORD 'second'", "postgres")
        .unwrap();
    server.cut(&database);
    let error = persist(&store).await.unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(!told.contains("first"), "{told}");
    assert!(
        persist(&store).await.is_err(),
        "the old one no longer holds"
    );
    write("second");
    let again = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while persist(&store).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    again.await.unwrap();
}

#[test]
fn h06_the_end_of_a_copy_shows_no_password() {
    for url in [
        "postgres://me:secret@host/db",
        "postgres://me:secret@host:x/db",
    ] {
        let shown = format!("{:?}", telemetry_store::CopyEnd::Server(url));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
