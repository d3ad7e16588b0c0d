//! Who is let in, and what a browser is told.

use axum::http::StatusCode;
use executor_testkit::MemoryStore;

use crate::{PAGES, TOKEN, ask, dashboard, get, guarded};

#[tokio::test]
async fn j02_only_names_of_this_machine_are_answered() {
    let router = dashboard(MemoryStore::new()).router();
    for host in [
        "127.0.0.1:7979",
        "localhost:7979",
        "[::1]:7979",
        "LOCALHOST:7979",
    ] {
        let got = ask(&router, "GET", "/", &[("host", host)], "").await;
        assert_eq!(got.status, StatusCode::OK, "{host}");
    }
    for host in [
        "",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:80",
        "127.0.0.1:79790",
        "127.0.0.1:7979.evil.example",
        "evil.example",
        "evil.example:7979",
        "localhost.evil.example:7979",
        "127.0.0.1:7979@evil.example",
        "127.0.0.2:7979",
        "0.0.0.0:7979",
        "[::]:7979",
        "localhost:7979 ",
        "2130706433:7979",
    ] {
        let got = ask(&router, "GET", "/", &[("host", host)], "").await;
        assert_eq!(got.status, StatusCode::MISDIRECTED_REQUEST, "{host:?}");
        assert!(!got.text.contains("<html"), "{host}");
    }
    let twice = [("host", "127.0.0.1:7979"), ("host", "evil.example")];
    let got = ask(&router, "GET", "/", &twice, "").await;
    assert_eq!(got.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn j02_a_name_that_was_allowed_is_answered() {
    let router = dashboard(MemoryStore::new())
        .allowing_host("House.example")
        .router();
    for (host, status) in [
        ("house.example", StatusCode::OK),
        ("HOUSE.EXAMPLE", StatusCode::OK),
        ("127.0.0.1:7979", StatusCode::OK),
        ("house.example:81", StatusCode::MISDIRECTED_REQUEST),
        ("a.house.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let got = ask(&router, "GET", "/ledger", &[("host", host)], "").await;
        assert_eq!(got.status, status, "{host}");
    }
}

#[tokio::test]
async fn j02_other_sites_get_nothing() {
    let router = dashboard(MemoryStore::new()).router();
    for site in ["cross-site", "same-site"] {
        for mode in ["cors", "no-cors", "websocket", ""] {
            let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            let got = ask(&router, "GET", "/executions", &headers, "").await;
            assert_eq!(got.status, StatusCode::FORBIDDEN, "{site} {mode}");
        }
        // Somebody has followed a link, or only a hidden frame has.
        for (dest, status) in [
            ("document", StatusCode::OK),
            ("iframe", StatusCode::FORBIDDEN),
        ] {
            let headers = [
                ("sec-fetch-site", site),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", dest),
            ];
            let got = ask(&router, "GET", "/executions", &headers, "").await;
            assert_eq!(got.status, status, "{site} {dest}");
        }
        let headers = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate")];
        let got = ask(&router, "POST", "/login", &headers, "token=x").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{site}");
    }
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1:80",
        "127.0.0.1:7979",
    ] {
        let got = ask(&router, "POST", "/login", &[("origin", origin)], "token=x").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{origin}");
        let headers = [("origin", origin), ("sec-fetch-site", "none")];
        let got = ask(&router, "POST", "/login", &headers, "token=x").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{origin}");
    }
}

/// What Chromium and Firefox send with a form of a page that wants no referrer.
const OF_A_BROWSER: [(&str, &str); 3] = [
    ("origin", "null"),
    ("sec-fetch-site", "same-origin"),
    ("content-type", "application/x-www-form-urlencoded"),
];

#[tokio::test]
async fn j02_the_form_of_a_browser_is_taken() {
    let body = format!("token={TOKEN}");
    let got = ask(&guarded(), "POST", "/login", &OF_A_BROWSER, &body).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn j02_nothing_is_shown_without_the_token() {
    let router = guarded();
    let stale = format!("executor_7979={}", "f".repeat(32));
    let of_another_port = format!("executor_8080={TOKEN}");
    for path in PAGES
        .into_iter()
        .chain(["/executions/x", "/handlers/job/1", "/nothing"])
    {
        for headers in [
            &[][..],
            &[("cookie", stale.as_str())],
            &[("cookie", of_another_port.as_str())],
            &[("cookie", "executor_7979=")],
            &[("cookie", "executor_7979")],
            &[("authorization", TOKEN)],
            &[("authorization", "Bearer ")],
            &[("authorization", "Basic MDEyMzQ1Njc4OWFiY2RlZg==")],
        ] {
            let got = ask(&router, "GET", path, headers, "").await;
            assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{path} {headers:?}");
            assert!(got.text.contains("Who is there?"), "{path}");
            assert!(!got.text.contains("As a command"), "{path}");
        }
        let program = [("accept", "application/json")];
        let got = ask(&router, "GET", path, &program, "").await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    // An address is kept in many places.
    let got = get(&router, &format!("/?token={TOKEN}")).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn j02_the_token_is_shown_once_for_a_cookie() {
    let router = guarded();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let wrong = ask(&router, "POST", "/login", &form, "token=guess").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.headers.get("set-cookie").is_none());
    let asked = get(&router, "/executions?since=7d&app=%22%3E").await;
    let field = "name=\"to\" value=\"/executions?since=7d&amp;app=%22%3E\"";
    assert!(asked.text.contains(field), "{}", asked.text);
    for (to, place) in [
        ("%2Fexecutions%3Fsince%3D7d", "/executions?since=7d"),
        ("%2F%2Fevil.example", "/"),
        ("", "/"),
    ] {
        let body = format!("token={TOKEN}&to={to}");
        let right = ask(&router, "POST", "/login", &form, &body).await;
        assert_eq!(right.status, StatusCode::SEE_OTHER);
        assert_eq!(right.headers["location"], place);
    }
    let right = ask(&router, "POST", "/login", &form, &format!("token={TOKEN}")).await;
    let cookie = right.headers["set-cookie"].to_str().unwrap();
    for part in ["executor_7979=", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = format!("other=1; {}", cookie.split(';').next().unwrap());
    for path in PAGES {
        let got = ask(&router, "GET", path, &[("cookie", &cookie)], "").await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert!(!got.text.contains(TOKEN), "{path}");
    }
    let bearer = format!("Bearer {TOKEN}");
    let got = ask(&router, "GET", "/", &[("authorization", &bearer)], "").await;
    assert_eq!(got.status, StatusCode::OK);
    let large = format!("token={}", "x".repeat(10_000));
    let got = ask(&router, "POST", "/login", &form, &large).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn j02_every_answer_tells_the_browser_what_not_to_do() {
    let (open, guarded) = (dashboard(MemoryStore::new()).router(), guarded());
    for (router, path) in PAGES.iter().map(|path| (&open, *path)).chain([
        (&open, "/nothing"),
        (&open, "/live"),
        (&guarded, "/"),
        (&guarded, "/login"),
    ]) {
        let got = get(router, path).await;
        let policy = got.headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "script-src 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(got.headers["cache-control"], "no-store", "{path}");
        assert_eq!(got.headers["referrer-policy"], "no-referrer");
        assert_eq!(got.headers["x-content-type-options"], "nosniff");
        for inline in ["style=", "<script>", "onclick", "javascript:"] {
            assert!(!got.text.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn j02_whether_it_lives_is_told_to_everybody() {
    let router = guarded();
    for (path, word) in [("/live", "alive\n"), ("/ready", "ready\n")] {
        let got = get(&router, path).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, word));
    }
}

#[tokio::test]
async fn j02_questions_that_make_no_sense_are_refused_in_a_line() {
    let router = dashboard(MemoryStore::new()).router();
    let long = format!("/executions?error={}", "%F0%9F%92%A9".repeat(4_000));
    for path in [
        "/executions?since=soon",
        "/executions?since=99999999999999999999999d",
        "/executions?since=10&until=5",
        "/executions?status=wrong",
        "/executions?kind=%3Cb%3E",
        "/executions?session=1",
        "/executions?longer=-1s",
        "/executions?after=%00",
        "/executions?after=..%2F..%2Fetc",
        "/handlers?since=%FF",
        "/?since=",
        "/?until=9223372036854775807",
        "/?since=-9223372036854775808",
        "/timeline?since=-9223372036854775808&until=9223372036854775807",
        "/executions/%00",
        "/executions/'%20OR%201=1%20--",
        "/handlers/job/9223372036854775808",
        "/handlers/thing/1",
        "/handlers/job/1?at=never",
        "/assets/..%2F..%2FCargo.toml",
        &long,
    ] {
        let got = get(&router, path).await;
        let is_answered = got.status.is_success() || got.status.is_client_error();
        assert!(is_answered, "{path}: {}", got.status);
        assert!(!got.text.contains("<b>"), "{path}");
        if got.status == StatusCode::BAD_REQUEST {
            assert!(got.text.len() < 2_000, "{path}");
        }
    }
}

#[tokio::test]
async fn j02_a_question_is_not_multiplied_by_a_page() {
    let router = dashboard(MemoryStore::new()).router();
    let long = "A".repeat(1_500);
    let got = get(
        &router,
        &format!("/timeline?since=7d&since={long}&x={long}"),
    )
    .await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    let got = get(&router, &format!("/timeline?since=7d&since={long}")).await;
    assert_eq!(got.status, StatusCode::OK);
    assert!(
        !got.text.contains("keep") && got.text.matches(&long).count() < 12,
        "{}",
        got.text.len()
    );
}

#[tokio::test]
async fn j01_a_router_that_is_nested_stays_below_its_path() {
    let inner = dashboard(MemoryStore::new()).at("/telemetry/").router();
    let outer = axum::Router::new().nest("/telemetry", inner);
    for path in PAGES {
        let got = get(&outer, &format!("/telemetry{}", path.trim_end_matches('/'))).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        for attribute in ["href=\"/", "src=\"/", "action=\"/"] {
            for (at, _) in got.text.match_indices(attribute) {
                let link: String = got.text[at..].chars().take(60).collect();
                assert!(link.contains("/telemetry/"), "{path}: {link}");
            }
        }
    }
}
