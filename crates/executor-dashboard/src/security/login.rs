//! Where somebody shows the token once, and gets a cookie for it.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::answer::{html, wants_json};
use crate::assets::{ICON, STYLE};
use crate::security::guard::Guard;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    base: String,
    style: &'static str,
    icon: &'static str,
    /// What was asked for, below the base.
    to: String,
    was_wrong: bool,
}

/// Asks for the token.
pub(crate) async fn ask_token(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(how) = guard.lets_in(request.headers()) {
        request.extensions_mut().insert(how);
        return next.run(request).await;
    }
    if wants_json(request.headers()) {
        let why = "send the token as `authorization: Bearer TOKEN`\n";
        return (StatusCode::UNAUTHORIZED, why).into_response();
    }
    // What was posted is not posted again: the page that it came from is asked for.
    let to = path_of(request.uri());
    let to = ["/act", "/cancel"]
        .iter()
        .find_map(|end| to.strip_suffix(end))
        .unwrap_or(to);
    asking(&guard, to, false)
}

fn path_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// Asks for the token at the address that was asked for, so that a link leads to where it should.
fn asking(guard: &Guard, to: &str, was_wrong: bool) -> Response {
    let page = html(&Login {
        base: guard.base.clone(),
        style: STYLE.path,
        icon: ICON.path,
        to: own(to).to_owned(),
        was_wrong,
    });
    (StatusCode::UNAUTHORIZED, page).into_response()
}

/// The path if it is one of the dashboard, and never of another site.
fn own(path: &str) -> &str {
    let is_own = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(|c: char| c == '\\' || c.is_control());
    if is_own { path } else { "/" }
}

#[derive(Deserialize)]
pub(crate) struct Posted {
    token: String,
    #[serde(default)]
    to: String,
}

pub(crate) async fn post(State(guard): State<Arc<Guard>>, Form(posted): Form<Posted>) -> Response {
    let Some(token) = guard.token.as_ref().filter(|token| token.is(&posted.token)) else {
        return asking(&guard, &posted.to, true);
    };
    let path = if guard.base.is_empty() {
        "/"
    } else {
        &guard.base
    };
    let secure = if guard.is_secure { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; Path={path}; HttpOnly; SameSite=Strict; Max-Age=2592000{secure}",
        guard.cookie(),
        token.as_str()
    );
    let to = format!("{}{}", guard.base, own(&posted.to));
    ([(SET_COOKIE, cookie)], Redirect::to(&to)).into_response()
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn j02_nobody_is_sent_to_another_site() {
        for path in ["/", "/executions?since=7d", "/executions/1"] {
            assert_eq!(own(path), path);
        }
        for path in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/\r\nx: y",
            "executions",
        ] {
            assert_eq!(own(path), "/", "{path:?}");
        }
    }
}
