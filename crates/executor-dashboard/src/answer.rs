//! Answers: a page, figures for machines, or why there is none.

use askama::Template;
use axum::Json;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use executor_core::ports::{HistoryError, HistoryErrorClass};
use serde_json::json;

use crate::assets::{ICON, STYLE};

/// Why a page was not made.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What was asked makes no sense.
    Bad(String),
    /// There is no such thing.
    Absent(String),
    /// The history cannot be read.
    Unreadable(HistoryError),
    /// Reading took too long.
    TooLong,
    /// Others are being answered.
    Busy,
    /// Making it has panicked.
    Defect,
    /// It may not be done, or not this way.
    Forbidden(String),
    /// It could not be done as things are.
    NotNow(String),
    /// Who asked for it is not in the history.
    NotRecorded(String),
    /// The answer is elsewhere.
    Elsewhere(String),
}

impl Refused {
    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self::Bad(why.into())
    }
}

impl From<HistoryError> for Refused {
    fn from(error: HistoryError) -> Self {
        Self::Unreadable(error)
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    base: String,
    /// The page that one comes from, if it is known.
    back: String,
    style: &'static str,
    icon: &'static str,
    title: &'static str,
    why: String,
}

impl Refused {
    fn told(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, "That makes no sense", why.clone()),
            Self::Absent(what) => (
                StatusCode::NOT_FOUND,
                "There is no such thing",
                what.clone(),
            ),
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, "That is not allowed", why.clone()),
            Self::NotNow(why) => (StatusCode::CONFLICT, "That could not be done", why.clone()),
            // It was done, and is not to be done again.
            Self::NotRecorded(why) => (StatusCode::OK, "That is not recorded yet", why.clone()),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Others are being answered",
                "too many pages, or another audit, are being made: try again in a moment".into(),
            ),
            Self::Defect => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "This could not be made",
                "a defect of this program; its log says more".into(),
            ),
            Self::TooLong => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This takes too long",
                "reading the history took longer than a page may: ask for a shorter time".into(),
            ),
            Self::Unreadable(error) => {
                let status = match error.class {
                    HistoryErrorClass::Invalid => StatusCode::BAD_REQUEST,
                    HistoryErrorClass::Absent => StatusCode::NOT_FOUND,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                let cause = error.source.to_string();
                (
                    status,
                    "The history cannot be read",
                    format!("{error}: {cause}"),
                )
            }
            Self::Elsewhere(_) => (StatusCode::SEE_OTHER, "Elsewhere", String::new()),
        }
    }

    pub(crate) fn response(&self, base: &str, wants_json: bool) -> Response {
        self.response_from(base, "", wants_json)
    }

    /// The same with the way back to a page.
    pub(crate) fn response_from(&self, base: &str, back: &str, wants_json: bool) -> Response {
        if let Self::Elsewhere(path) = self {
            return Redirect::to(&format!("{base}{path}")).into_response();
        }
        let (status, title, why) = self.told();
        let mut response = match wants_json {
            true => Json(json!({ "error": why })).into_response(),
            false => html(&RefusedPage {
                base: base.to_owned(),
                back: back.to_owned(),
                style: STYLE.path,
                icon: ICON.path,
                title,
                why,
            }),
        };
        *response.status_mut() = status;
        response
    }
}

/// Shows a template.
pub(crate) fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Whether somebody asks for figures instead of a page.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|it| it.to_str().ok());
    accepts.is_some_and(|it| it.contains("application/json") && !it.contains("text/html"))
}
