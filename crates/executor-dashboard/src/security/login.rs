//! Where somebody shows the token once, and gets a cookie for it.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::answer::html;
use crate::assets::STYLE;
use crate::security::guard::Guard;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    style: &'static str,
    was_wrong: bool,
}

fn page(was_wrong: bool) -> Response {
    html(&Login {
        style: STYLE.path,
        was_wrong,
    })
}

pub(crate) async fn get(State(guard): State<Arc<Guard>>, headers: HeaderMap) -> Response {
    match guard.knows(&headers) {
        true => Redirect::to("/").into_response(),
        false => page(false),
    }
}

#[derive(Deserialize)]
pub(crate) struct Posted {
    token: String,
}

pub(crate) async fn post(State(guard): State<Arc<Guard>>, Form(told): Form<Posted>) -> Response {
    let Some(token) = guard.token.as_ref().filter(|token| token.is(&told.token)) else {
        return (StatusCode::UNAUTHORIZED, page(true)).into_response();
    };
    // Without `Secure`: loopback has no TLS, and behind a proxy it is the proxy's to add.
    let cookie = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000",
        guard.cookie(),
        token.as_str()
    );
    ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}
