//! The style and the script, in the program itself. Their names change with what they hold, so a browser may keep them.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// A file that pages name.
pub(crate) struct Asset {
    /// Its path.
    pub(crate) path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// FNV-1a, which can be computed while compiling: it tells versions apart, and guards nothing.
const fn digest(bytes: &[u8]) -> u32 {
    let (mut hash, mut at) = (0x811c_9dc5_u32, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

const fn digits(hash: u32) -> [u8; 8] {
    let (mut text, mut at) = ([0; 8], 0);
    while at < 8 {
        let digit = (hash >> (28 - 4 * at)) & 0xf;
        text[at] = if digit < 10 {
            b'0' + digit as u8
        } else {
            b'a' + digit as u8 - 10
        };
        at += 1;
    }
    text
}

macro_rules! asset {
    ($file:literal, $stem:literal, $end:literal, $kind:literal) => {{
        const BYTES: &[u8] = include_bytes!(concat!("../assets/", $file));
        const DIGITS: [u8; 8] = digits(digest(BYTES));
        const LENGTH: usize = $stem.len() + 8 + $end.len();
        const PATH: [u8; LENGTH] = {
            let (mut path, mut at) = ([0; LENGTH], 0);
            while at < LENGTH {
                path[at] = if at < $stem.len() {
                    $stem.as_bytes()[at]
                } else if at < $stem.len() + 8 {
                    DIGITS[at - $stem.len()]
                } else {
                    $end.as_bytes()[at - $stem.len() - 8]
                };
                at += 1;
            }
            path
        };
        Asset {
            path: match std::str::from_utf8(&PATH) {
                Ok(path) => path,
                Err(_) => panic!("the names of assets are ASCII"),
            },
            kind: $kind,
            bytes: BYTES,
        }
    }};
}

pub(crate) const STYLE: Asset = asset!(
    "dashboard.css",
    "/assets/dashboard-",
    ".css",
    "text/css; charset=utf-8"
);

pub(crate) const SCRIPT: Asset = asset!(
    "dashboard.js",
    "/assets/dashboard-",
    ".js",
    "text/javascript; charset=utf-8"
);

pub(crate) const ICON: Asset = asset!("icon.svg", "/assets/icon-", ".svg", "image/svg+xml");

pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let all = [STYLE, SCRIPT, ICON];
    let found = all
        .iter()
        .find(|asset| asset.path.strip_prefix("/assets/") == Some(&name));
    match found {
        Some(asset) => {
            let headers = [
                (CONTENT_TYPE, asset.kind),
                (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, asset.bytes).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}
