//! `executor serve`: the history in a browser, over a real connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::fixture::{House, house};
use crate::support::until;

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    /// What it has said at its start.
    pub(crate) said: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gracefully, because a run ends its programs then.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it, and waits for `lines` lines.
    fn start(house: &House, arguments: &[&str], lines: usize) -> Self {
        let mut program = house.place.program(&["serve", "--db", &house.db]);
        program.args(arguments);
        Self::started(program, lines)
    }

    pub(crate) fn started(mut program: Command, lines: usize) -> Self {
        let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = said.take(lines).map(Result::unwrap).collect();
        Self { child, said }
    }

    pub(crate) fn address(&self) -> &str {
        let line = &self.said[0];
        line.split("http://").nth(1).unwrap().trim_end_matches('/')
    }

    /// Asks for a page, and returns the whole answer.
    pub(crate) fn get(&self, path: &str, headers: &str) -> String {
        let address = self.address();
        let mut stream = TcpStream::connect(address).unwrap();
        asked(&mut stream, address, path, headers)
    }
}

fn asked(stream: &mut (impl Read + Write), host: &str, path: &str, headers: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn j01_a_browser_sees_the_history() {
    let house = house();
    let server = Server::start(&house, &["--listen", "127.0.0.1:0", "--no-token"], 1);
    for (path, wanted) in [
        ("/", "house/backup"),
        ("/executions?status=panicked", "the pump is dry"),
        ("/handlers?since=14d", "lights/hall"),
        ("/errors", "connection closed"),
        ("/timeline", "cellar/pump"),
        ("/ledger?since=14d", "overflow"),
        ("/ledger/audit?since=14d", "incomplete"),
        ("/live", "alive"),
        ("/ready", "ready"),
    ] {
        let answer = server.get(path, "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.contains(wanted), "{path}: {answer}");
    }
}

#[test]
fn j02_the_token_is_shown_once_and_kept_from_others() {
    let house = house();
    let server = Server::start(&house, &["--listen", "127.0.0.1:0"], 2);
    let token = server.said[1]
        .strip_prefix("its token is ")
        .unwrap()
        .to_owned();
    assert_eq!(token.len(), 64);
    assert!(server.get("/", "").starts_with("HTTP/1.1 401"));
    let bearer = format!("authorization: Bearer {token}\r\n");
    assert!(server.get("/", &bearer).starts_with("HTTP/1.1 200"));
    drop(server);
    // From a file nothing is shown, and nobody else may read it.
    let path = house.place.file("token", &format!("{token}\n"));
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    let refused = house
        .place
        .run(&["serve", "--db", &house.db, "--token-file", "token"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("chmod 600"), "{}", refused.err);
    mode(0o600);
    let arguments = ["--listen", "127.0.0.1:0", "--token-file", "token"];
    let server = Server::start(&house, &arguments, 1);
    assert!(server.get("/", &bearer).starts_with("HTTP/1.1 200"));
    assert!(
        server
            .get("/", "authorization: Bearer other\r\n")
            .starts_with("HTTP/1.1 401")
    );
}

#[test]
fn j02_nothing_is_shown_to_others_by_mistake() {
    let house = house();
    for (arguments, code, wanted) in [
        (&["--listen", "0.0.0.0:0"][..], 2, "--behind-proxy"),
        (
            &["--listen", "0.0.0.0:0", "--behind-proxy"],
            2,
            "--allow-host",
        ),
        (
            &[
                "--listen",
                "0.0.0.0:0",
                "--behind-proxy",
                "--allow-host",
                "a.example",
                "--no-token",
            ],
            2,
            "leave --no-token out",
        ),
        (
            &["--no-token", "--allow-host", "a.example"],
            2,
            "leave --no-token out",
        ),
        (&["--socket", "x.sock"], 2, "--allow-host"),
        (
            &[
                "--socket",
                "x.sock",
                "--allow-host",
                "a.example",
                "--no-token",
            ],
            2,
            "leave --no-token out",
        ),
        (&["--token-file", "absent"], 1, "absent"),
        (&["--token", "secret"], 2, "--token"),
    ] {
        let words: Vec<&str> = ["serve", "--db", &house.db]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let said = house.place.run(&words);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(wanted), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn j02_a_socket_is_only_for_its_user() {
    let house = house();
    let path = house.place.directory.path().join("x.sock");
    let arguments = [
        "--socket",
        path.to_str().unwrap(),
        "--allow-host",
        "house.example",
    ];
    for _ in 0..2 {
        // The second one takes the place of the first, which has ended.
        let server = Server::start(&house, &arguments, 2);
        let token = server.said[1].strip_prefix("its token is ").unwrap();
        let bearer = format!("authorization: Bearer {token}\r\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (host, status) in [("house.example", "200"), ("localhost", "421")] {
            let mut stream = UnixStream::connect(&path).unwrap();
            let answer = asked(&mut stream, host, "/", &bearer);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
    }
}

/// Asks for as much as the server takes at once, and reads no answer.
fn stalled(address: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    // What is piled up is not taken any more at some point.
    let _ = stream.write_all(request.as_bytes());
    stream
}

#[test]
fn j04_those_who_read_nothing_keep_nobody_from_reading() {
    let house = house();
    let server = Server::start(&house, &["--listen", "127.0.0.1:0", "--no-token"], 1);
    let address = server.address();
    let whole = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let piled = whole("/executions?since=14d").repeat(200);
    let requests = [
        // More streams than are told.
        whole("/changes"),
        // Pages that nobody takes.
        piled,
        // A request that never ends, and one whose body never comes.
        format!("GET / HTTP/1.1\r\nhost: {address}\r\nx-slow: "),
        format!("POST /login HTTP/1.1\r\nhost: {address}\r\ncontent-length: 4000\r\n\r\ntoken="),
    ];
    let mut held = Vec::new();
    for (request, times) in requests.iter().zip([70, 8, 70, 70]) {
        held.extend((0..times).map(|_| stalled(address, request)));
    }
    for path in ["/", "/executions?since=14d", "/ledger?since=14d", "/live"] {
        let answer = server.get(path, "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let refused = server.get("/changes", "");
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
}

#[test]
fn j02_there_are_so_many_connections_and_no_more() {
    let house = house();
    let server = Server::start(&house, &["--listen", "127.0.0.1:0", "--no-token"], 1);
    let address = server.address();
    let mut held: Vec<_> = (0..256).map(|_| stalled(address, "GET")).collect();
    let mut one_more = TcpStream::connect(address).unwrap();
    let whole = format!("GET /live HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    one_more.write_all(whole.as_bytes()).unwrap();
    let patience = std::time::Duration::from_millis(300);
    one_more.set_read_timeout(Some(patience)).unwrap();
    let mut answer = [0; 12];
    let nothing = one_more.read(&mut answer).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    // Somebody goes, and it has its turn.
    held.pop();
    one_more.set_read_timeout(None).unwrap();
    one_more.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn j01_it_ends_with_a_signal() {
    let house = house();
    let mut server = Server::start(&house, &["--listen", "127.0.0.1:0", "--no-token"], 1);
    // Somebody is still connected.
    let _idle = TcpStream::connect(server.address()).unwrap();
    let pid = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = until("the server ends", || server.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn j01_a_run_shows_what_runs() {
    let house = house();
    let nap = "[run]\nshutdown_timeout = \"1s\"\n[[job]]\napp = \"attic\"\nname = \"nap\"\nafter = \"10ms\"\nrun = [\"sleep\", \"60\"]\n";
    house.place.file("nap.toml", nap);
    let arguments = [
        "run",
        "nap.toml",
        "--db",
        &house.db,
        "--serve",
        "127.0.0.1:0",
    ];
    let server = Server::started(house.place.program(&arguments), 2);
    let token = server.said[1].strip_prefix("its token is ").unwrap();
    let bearer = format!("authorization: Bearer {token}\r\naccept: application/json\r\n");
    until("the nap is seen", || {
        let answer = server.get("/", &bearer);
        let is_seen = answer.contains("\"running\":[{") && answer.contains("attic/nap");
        is_seen.then_some(())
    });
    let refused = house
        .place
        .run(&["run", "nap.toml", "--serve", "0.0.0.0:1"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
}

#[test]
fn j01_the_command_below_a_page_can_be_run() {
    let house = house();
    let server = Server::start(&house, &["--listen", "127.0.0.1:0", "--no-token"], 1);
    for path in [
        "/?since=7d",
        "/executions",
        "/executions?since=1000000&until=1900000000000000&status=failed&kind=job&app=house&error=closed",
        "/executions?said=lost&longer=1s",
        "/executions?of=job/1&since=14d",
        "/handlers?since=7d",
        "/handlers/job/1?since=7d",
        "/errors?since=7d&until=1900000000000000",
        "/timeline?since=3h",
        "/ledger",
        "/ledger/audit?since=14d",
    ] {
        let answer = server.get(path, "accept: application/json\r\n");
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let figures: serde_json::Value = serde_json::from_str(body).unwrap();
        let command = figures["frame"]["command"].as_str().unwrap();
        assert!(!command.contains('\''), "{command}");
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let said = house.place.run(&words);
        // 6 and 8 are what an audit may find.
        assert!(
            matches!(said.code, Some(0 | 6 | 8)),
            "{path}: {command}: {}",
            said.err
        );
        assert!(!said.out.is_empty(), "{command}");
    }
}
