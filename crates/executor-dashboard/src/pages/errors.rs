//! Errors: failures of one kind together.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::ports::Scope;
use serde::Serialize;

use crate::answer::Refused;
use crate::charts::{Svg, outcomes};
use crate::pages::asked::{Asked, Site};
use crate::pages::failing::{Failing, places};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::answer;
use crate::pages::parts::{FAILED, Moment, PartRow, failures, parts};
use crate::pages::processes::drawn_of;
use crate::shown::counted;

/// How many failures are grouped.
const FAILURES_MAX: u64 = 2_000;

#[derive(Template, Serialize)]
#[template(path = "errors.html")]
struct Errors {
    frame: Frame,
    groups: Vec<Failing>,
    looked_at: u64,
    /// How far back, if there were more.
    #[serde(rename = "looked_to_us")]
    looked_to: Option<Moment>,
    #[serde(skip)]
    summary: String,
    #[serde(skip)]
    chart: Svg,
    parts: Vec<PartRow>,
}

impl Framed for Errors {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, make).await
}

async fn make(asked: Asked) -> Result<Errors, Refused> {
    let (sessions, places) = (asked.sessions().await?, places(&asked).await?);
    let processes = drawn_of(&asked).await?;
    let found = failures(&asked, FAILURES_MAX).await?;
    let mut parts = parts(&asked, Scope::All, None, &[("status", "failed")]).await?;
    for part in &mut parts {
        let failed = FAILED.map(|it| usize::from(it.code()));
        let by_status = part.stats.by_status.iter_mut().enumerate();
        let others = by_status.filter(|(status, _)| !failed.contains(status));
        others.for_each(|(_, count)| *count = 0);
    }
    Ok(Errors {
        frame: asked.frame("Errors", "errors", "").await?,
        groups: found
            .groups
            .iter()
            .map(|it| Failing::of(it, sessions, &places))
            .collect(),
        looked_at: found.looked_at,
        looked_to: found.looked_to.map(Moment),
        summary: format!(
            "{}{} in {}",
            found.looked_to.map_or("", |_| "the latest "),
            counted(found.looked_at, "failure"),
            counted(found.groups.len() as u64, "group")
        ),
        chart: outcomes(&parts, &processes),
        parts: PartRow::all(&parts),
    })
}
