//! Timeline: what ran at the same time, a lane for each listener or job.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use executor_core::Timestamp;
use executor_core::ports::{Filter, Gap, MissedRuns, Order, PageRequest, StoredExecution};
use serde::Serialize;

use crate::answer::Refused;
use crate::charts::{Bar, Lane, Loss, Svg, lanes};
use crate::pages::asked::{Asked, Site};
use crate::pages::frame::{Frame, Framed};
use crate::pages::handlers::why;
use crate::pages::making::answer;
use crate::pages::parts::{Moment, Row, gaps, missed_runs};
use crate::pages::processes::drawn_of;
use crate::question::Range;
use crate::shown;

/// The most executions that are drawn.
const DRAWN_MAX: u32 = 500;

/// The most lanes.
const LANES_MAX: usize = 60;

#[derive(Template, Serialize)]
#[template(path = "timeline.html")]
struct Timeline {
    frame: Frame,
    executions: Vec<Row>,
    /// Up to where they are drawn, if there are more.
    #[serde(rename = "drawn_to_us")]
    drawn_to: Option<Moment>,
    #[serde(skip)]
    chart: Svg,
    #[serde(skip)]
    zooms: Vec<Zoom>,
}

impl Framed for Timeline {
    fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }
}

/// Another span of time.
struct Zoom {
    name: &'static str,
    query: String,
}

pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    answer(site, &headers, pairs, make).await
}

async fn make(asked: Asked) -> Result<Timeline, Refused> {
    let range = asked.range;
    let filter = Filter {
        from: Some(range.from),
        started_before: Some(range.to),
        ..Filter::default()
    };
    let request = PageRequest {
        order: Order::OldestFirst,
        ..PageRequest::first(DRAWN_MAX)
    };
    let page = asked.history().executions(filter, request).await?;
    let last = page.items.last().map(|it| Moment(it.record.ended_at()));
    let lost = gaps(&asked, &range).await?;
    let missed = missed_runs(&asked).await?;
    let lost = losses(&range, &lost);
    let processes = drawn_of(&asked).await?;
    Ok(Timeline {
        chart: lanes(
            &with_missed(lanes_of(&asked, &range, &page.items), &range, &missed),
            &lost,
            &processes,
            (range.from, range.to),
        ),
        drawn_to: last.filter(|_| page.next.is_some()),
        executions: page.items.iter().map(Row::of).collect(),
        zooms: zooms(&asked),
        frame: asked.frame("Timeline", "timeline", "").await?,
    })
}

/// Where in a range a moment is, from 0 to 1.
fn share_of(range: &Range, at: Timestamp) -> f64 {
    let (from, to) = (range.from.as_micros(), range.to.as_micros());
    let share = (at.as_micros() - from) as f64 / (to - from) as f64;
    share.clamp(0.0, 1.0)
}

/// Where in a range records were lost.
pub(super) fn losses(range: &Range, lost: &[Gap]) -> Vec<Loss> {
    let losses = lost.iter().map(|gap| Loss {
        from: share_of(range, gap.first_at),
        to: share_of(range, gap.last_at),
        of: gap.entities.iter().map(|(it, _)| it.path()).collect(),
    });
    losses.collect()
}

/// The lanes with the planned runs that were missed.
fn with_missed(mut lanes: Vec<Lane>, range: &Range, missed: &[MissedRuns]) -> Vec<Lane> {
    for it in missed {
        let name = it.entity.path();
        let bar = Bar {
            from: share_of(range, it.first_due),
            to: share_of(range, it.last_due),
            class: "missed",
            title: format!(
                "{name}: {} missed, {}",
                shown::counted(it.count, "planned run"),
                why(it.reason)
            ),
            link: String::new(),
        };
        let known = lanes.iter().position(|lane| lane.name == name);
        match known {
            Some(place) => lanes[place].bars.push(bar),
            None if lanes.len() < LANES_MAX => lanes.push(Lane {
                name,
                bars: vec![bar],
            }),
            None => {}
        }
    }
    lanes.sort_by(|one, other| one.name.cmp(&other.name));
    lanes
}

/// The lanes of executions in a range.
pub(super) fn lanes_of(asked: &Asked, range: &Range, executions: &[StoredExecution]) -> Vec<Lane> {
    let keep = asked.question.range_with(&[]);
    let mut lanes: BTreeMap<String, Vec<Bar>> = BTreeMap::new();
    for stored in executions {
        let record = &stored.record;
        let name = record.subject.entity.path();
        let status = record.status.as_str();
        let bar = Bar {
            from: share_of(range, record.started_at),
            to: share_of(range, record.ended_at()),
            class: status,
            title: format!(
                "{name}: {status}, {} from {}",
                shown::took_of(stored),
                shown::time(record.started_at)
            ),
            link: asked.link(&format!("/executions/{}?{keep}", record.execution_id)),
        };
        if lanes.len() < LANES_MAX || lanes.contains_key(&name) {
            lanes.entry(name).or_default().push(bar);
        }
    }
    let lanes = lanes.into_iter().map(|(name, bars)| Lane { name, bars });
    lanes.collect()
}

/// Half of the time, twice as much, and the times before and after.
fn zooms(asked: &Asked) -> Vec<Zoom> {
    let (from, to) = (asked.range.from.as_micros(), asked.range.to.as_micros());
    let (half, quarter) = ((to - from) / 2, (to - from) / 4);
    let spans = [
        ("earlier", from - half, to - half),
        ("closer", from + quarter, to - quarter),
        ("wider", from - half, to + half),
        ("later", from + half, to + half),
    ];
    let zooms = spans.into_iter().filter(|(_, from, to)| from < to);
    let zooms = zooms.map(|(name, from, to)| Zoom {
        name,
        query: asked
            .question
            .with(&[("since", &from.to_string()), ("until", &to.to_string())]),
    });
    zooms.collect()
}
