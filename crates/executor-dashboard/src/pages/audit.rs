//! Audit: whether the history of a time is complete, by counting it. It takes as long as it takes, so it is only made
//! when somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::Timestamp;
use executor_core::ports::Progress;
use executor_service::diagnosis::{Hole, NotKnown, NotLookedAt, audit};
use serde::Serialize;

use crate::answer::{Refused, wants_json};
use crate::pages::asked::{Asked, Site};
use crate::pages::auditing::{Audits, Run};
use crate::pages::frame::{Frame, Framed};
use crate::pages::making::{Patience, answer, made, shown_as};
use crate::pages::parts::Moment;
use crate::question::Question;
use crate::shown;

#[derive(Template, Serialize)]
#[template(path = "audit.html")]
pub(crate) struct Audited {
    frame: Frame,
    verdict: &'static str,
    stored: u64,
    pruned: u64,
    dropped: u64,
    waiting: u64,
    holes: Vec<Missing>,
    not_known: Vec<String>,
    /// The hours that were counted, in words.
    #[serde(skip)]
    hours: String,
}

impl Framed for Audited {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// What is missing somewhere.
#[derive(Serialize)]
struct Missing {
    cause: String,
    count: u64,
    #[serde(rename = "first_us")]
    first: Moment,
    #[serde(rename = "last_us")]
    last: Moment,
    session: String,
}

/// An audit that goes on.
#[derive(Template, Serialize)]
#[template(path = "auditing.html")]
struct Auditing {
    frame: Frame,
    done: u64,
    of: u64,
    #[serde(skip)]
    said: String,
}

impl Framed for Auditing {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// Audits of a dashboard, which are shared.
pub(crate) struct SharedAudits(Audits<Audited>);

impl SharedAudits {
    pub(crate) fn new() -> Self {
        Self(Audits::default())
    }
}

/// How long a person waits before the progress is shown.
const AT_ONCE: Duration = Duration::from_millis(700);

/// Programs wait as long as it takes.
const PATIENT: Duration = Duration::from_secs(86_400);

pub(crate) async fn page(
    State((site, audits)): State<(Arc<Site>, Arc<SharedAudits>)>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let (base, wants_json) = (site.base.clone(), wants_json(&headers));
    // What makes no sense takes nobody's place.
    let question = Question::new(pairs.clone())
        .and_then(|question| question.range(shown::now()).map(|_| question.whole_range()));
    let question = match question {
        Ok(question) => question,
        Err(refused) => return refused.response(&base, wants_json),
    };
    let (auditing, asked) = (Arc::clone(&site), pairs.clone());
    let run = audits.0.of(&question, |progress| {
        made(auditing, asked, Patience::Audit, |asked| {
            make(asked, progress)
        })
    });
    let Some(run) = run else {
        return Refused::Busy.response(&base, wants_json);
    };
    let patience = if wants_json { PATIENT } else { AT_ONCE };
    match run.within(patience).await {
        Some(Ok(page)) => shown_as(page.as_ref(), wants_json),
        Some(Err(refused)) => refused.response(&base, wants_json),
        None => answer(site, &headers, pairs, move |asked| goes_on(asked, run)).await,
    }
}

async fn goes_on(asked: Asked, run: Arc<Run<Audited>>) -> Result<Auditing, Refused> {
    let (done, of) = run.progress();
    Ok(Auditing {
        frame: asked.frame("Audit", "audit", "").await?,
        done,
        of: of.max(done),
        said: match of {
            0 => "it begins".to_owned(),
            _ => format!(
                "{} of about {} rows",
                shown::grouped(done),
                shown::grouped(of.max(done))
            ),
        },
    })
}

async fn make(asked: Asked, progress: Progress) -> Result<Audited, Refused> {
    let window = asked.range.window();
    let live = asked.live().await;
    let evidence = asked.history().evidence(window.clone(), progress).await?;
    let found = audit(&evidence, live, &window);
    Ok(Audited {
        frame: asked.frame("Audit", "audit", "").await?,
        verdict: found.verdict.as_str(),
        stored: found.stored,
        pruned: found.pruned,
        dropped: found.dropped,
        waiting: found.waiting,
        holes: found.holes.iter().map(missing).collect(),
        hours: format!(
            "{} – {}",
            shown::dated(hour(asked.range.from)),
            shown::dated(asked.range.to)
        ),
        not_known: found.not_known.iter().map(not_known).collect(),
    })
}

/// The beginning of the hour of a time.
fn hour(at: Timestamp) -> Timestamp {
    const HOUR_US: i64 = 3_600_000_000;
    Timestamp::from_micros(at.as_micros().div_euclid(HOUR_US) * HOUR_US)
}

fn missing(hole: &Hole) -> Missing {
    Missing {
        cause: hole.cause.as_str().to_owned(),
        count: hole.count,
        first: Moment(hole.from),
        last: Moment(hole.to),
        session: hole.session.map(|it| it.to_string()).unwrap_or_default(),
    }
}

fn not_known(of: &NotKnown) -> String {
    let why = match &of.what {
        NotLookedAt::Older => "it was recorded by a version that did not count".to_owned(),
        NotLookedAt::Rebuilt => "its counts were rebuilt after a crash".to_owned(),
        NotLookedAt::Memory => "it died with its records in memory".to_owned(),
        NotLookedAt::Spool { host, waiting } => match waiting {
            Some(waiting) => format!(
                "{} wait in its spool on {host}",
                shown::counted(*waiting, "record")
            ),
            None => format!("its spool on {host} has not been taken over"),
        },
        _ => "this version does not know why".to_owned(),
    };
    let (from, to) = (shown::time(of.from), shown::time(of.to));
    format!("session {} from {from} to {to}: {why}", of.session)
}
