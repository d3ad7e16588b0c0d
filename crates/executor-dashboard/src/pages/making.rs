//! Makes pages: so many at a time, each within its time. A page that nobody waits for any more keeps its place until what
//! it has asked is answered, because the history works on it as long.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;

use crate::answer::{Refused, html, wants_json};
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::Framed;
use crate::question::Question;
use crate::shown;

/// How long a page may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as every other.
    Page,
    /// As long as it takes; there is one at a time.
    Audit,
}

/// Makes a page within the time that pages may take.
pub(crate) async fn answer<P, F>(
    site: Arc<Site>,
    headers: &HeaderMap,
    pairs: Vec<(String, String)>,
    make: impl FnOnce(Asked) -> F,
) -> Response
where
    P: Template + Serialize + Framed + Send + 'static,
    F: Future<Output = Result<P, Refused>> + Send + 'static,
{
    let wants_json = wants_json(headers);
    let base = site.base.clone();
    match made(site, pairs, Patience::Page, make).await {
        Ok(page) => shown_as(&page, wants_json),
        Err(refused) => refused.response(&base, wants_json),
    }
}

/// The same with a patience.
pub(crate) async fn made<P, F>(
    site: Arc<Site>,
    pairs: Vec<(String, String)>,
    patience: Patience,
    make: impl FnOnce(Asked) -> F,
) -> Result<P, Refused>
where
    P: Framed + Send + 'static,
    F: Future<Output = Result<P, Refused>> + Send + 'static,
{
    let history = Arc::clone(&site.history);
    let mut page = read(site, pairs, patience, make).await?;
    // What the page itself has left out is among it.
    page.frame_mut().add_left_out(history.as_ref());
    Ok(page)
}

/// Reads something within the limits of pages.
pub(crate) async fn read<T, F>(
    site: Arc<Site>,
    pairs: Vec<(String, String)>,
    patience: Patience,
    make: impl FnOnce(Asked) -> F,
) -> Result<T, Refused>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Refused>> + Send + 'static,
{
    let question = Question::new(pairs)?;
    let range = question.range(shown::now())?;
    let place = match patience {
        Patience::Page => {
            let place = Arc::clone(&site.room).acquire_owned();
            let place = timeout(site.time_limit, place).await;
            Some(place.ok().and_then(Result::ok).ok_or(Refused::Busy)?)
        }
        Patience::Audit => None,
    };
    let limit = site.time_limit;
    let making = make(Asked::new(site, question, range));
    let making = tokio::spawn(async move {
        let _place = place;
        making.await
    });
    let made = match patience {
        Patience::Page => timeout(limit, making).await.map_err(|_| Refused::TooLong)?,
        Patience::Audit => making.await,
    };
    match made {
        Ok(made) => made,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

pub(crate) fn shown_as(page: &(impl Template + Serialize), wants_json: bool) -> Response {
    match wants_json {
        true => Json(page).into_response(),
        false => html(page),
    }
}
