//! What every request has to pass, and what every answer says to the browser.
//!
//! A page of another site can make a browser ask this one, and a name that leads to this machine (DNS rebinding) makes
//! its answers readable. So a request comes with a name that was allowed, and not across sites unless somebody followed
//! a link. Then it shows the token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::security::token::Token;

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    pub(crate) token: Option<Token>,
    pub(crate) port: u16,
    /// Below which path it is nested.
    pub(crate) base: String,
    /// Whether there is TLS in front of it.
    pub(crate) is_secure: bool,
    /// In lower case.
    pub(crate) hosts: Vec<String>,
    pub(crate) any_host: bool,
}

/// The names of this machine itself.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// Nothing from elsewhere, no script or style in a page, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

impl Guard {
    /// Browsers send the cookies of all ports of a host to each.
    pub(crate) fn cookie(&self) -> String {
        format!("executor_{}", self.port)
    }

    fn allows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let is_own = LOOPBACK.iter().any(|name| {
            let port = host.strip_prefix(name);
            port.is_some_and(|port| port == format!(":{}", self.port))
        });
        self.any_host || is_own || self.hosts.contains(&host)
    }

    /// How a request is let in: by the token, as the cookie of a browser or the bearer of a program.
    pub(crate) fn lets_in(&self, headers: &HeaderMap) -> Option<LetIn> {
        let Some(token) = &self.token else {
            return Some(LetIn::Openly);
        };
        let text = |value: &'_ HeaderValue| value.to_str().ok().map(ToOwned::to_owned);
        let bearer = headers.get(AUTHORIZATION).and_then(text);
        let bearer = bearer.as_deref().and_then(|it| it.split_once(' '));
        let is_bearer = |(scheme, _): &(&str, &str)| scheme.eq_ignore_ascii_case("bearer");
        let bearer = bearer.filter(is_bearer).map(|(_, token)| token);
        let name = format!("{}=", self.cookie());
        let cookies = headers.get_all(COOKIE).iter().filter_map(text);
        let is_in_cookies = cookies.into_iter().any(|cookies| {
            let mut cookies = cookies.split(';').map(str::trim);
            cookies.any(|cookie| cookie.strip_prefix(&name).is_some_and(|it| token.is(it)))
        });
        match bearer.is_some_and(|it| token.is(it)) {
            true => Some(LetIn::Bearer),
            false => is_in_cookies.then_some(LetIn::Cookie),
        }
    }
}

/// How somebody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LetIn {
    /// A program sent the token; no page of another site can make a browser do that.
    Bearer,
    /// A browser sent its cookie.
    Cookie,
    /// Nothing was asked for.
    Openly,
}

/// Why a request is refused before anybody looks at what it asks.
fn refusal(guard: &Guard, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    // What cannot be read is nothing that a browser sends.
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let authority = uri.authority().map(Authority::as_str);
    let host = authority.or_else(|| text(HOST)).unwrap_or_default();
    let is_ambiguous = headers.get_all(HOST).iter().count() > 1;
    let has_origins = headers.get_all(ORIGIN).iter().count() > 1;
    if is_ambiguous || !guard.allows(host) {
        let why =
            "this is not the address that the dashboard was started for; `--allow-host` adds one\n";
        return Some((StatusCode::MISDIRECTED_REQUEST, why).into_response());
    }
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let mode = text(HeaderName::from_static("sec-fetch-mode"));
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let is_across = site.is_some_and(|it| !matches!(it, "same-origin" | "none"));
    // Not in a hidden frame: a person sees what opens.
    let dest = text(HeaderName::from_static("sec-fetch-dest"));
    let is_followed = is_read && mode == Some("navigate") && dest.is_none_or(|it| it == "document");
    // Older browsers say nothing of the site, but where a form came from. Newer ones say `null` of our own forms, because
    // we want no referrer, and that they are our own.
    let origin = text(ORIGIN).filter(|_| !is_read);
    let is_foreign = origin.is_some_and(|origin| match origin.split_once("://") {
        Some((_, from)) => !from.eq_ignore_ascii_case(host),
        None => origin != "null" || site != Some("same-origin"),
    });
    if is_across && !is_followed || is_foreign || has_origins {
        let why = "another site asks for this; open the dashboard by its own address\n";
        return Some((StatusCode::FORBIDDEN, why).into_response());
    }
    None
}

/// Refuses requests of other sites and for other names, and sets the headers of every answer.
pub(crate) async fn check_origin(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let refused = refusal(&guard, request.method(), request.uri(), request.headers());
    let mut response = match refused {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
