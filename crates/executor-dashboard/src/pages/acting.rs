//! What people ask of a running executor: a form is posted, the executor does it and records who asked. Only a page of
//! this dashboard, or a program that sends the token itself, can ask.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Form, Path, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{HeaderName, ORIGIN};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, RequestExt};
use executor_core::ports::{Action, ActionOutcome, PageRequest, RecordedAction, Requester};
use executor_core::{Entity, EntityKind, ExecutionId};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Refused, wants_json};
use crate::pages::asked::{Acting, Asked, Site};
use crate::pages::making::{Patience, read};
use crate::pages::parts::{Moment, registration};
use crate::security::guard::LetIn;
use crate::shown;

/// How many characters of what a request says of itself are recorded.
const SAID_MAX: usize = 200;

/// How many actions are looked at and shown for one listener or job.
const LOOKED_AT: u32 = 1_000;
const SHOWN_MAX: usize = 20;

/// Who somebody is, for programs that find out by themselves: a layer in front of the router adds it to the extensions
/// of a request, and what that visitor asks for is recorded under this name.
///
/// ```
/// use axum::extract::Request;
/// use executor_dashboard::Visitor;
///
/// fn named(mut request: Request) -> Request {
///     request.extensions_mut().insert(Visitor("operator".into()));
///     request
/// }
/// # drop(named);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor(pub String);

/// What was posted, and by whom.
pub(crate) struct Posted {
    headers: HeaderMap,
    how: LetIn,
    requester: Requester,
    fields: HashMap<String, String>,
}

impl Posted {
    async fn of(request: Request) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let extensions = request.extensions();
        let how = extensions.get().copied().unwrap_or(LetIn::Openly);
        let visitor = extensions.get().map(|Visitor(name)| name.clone());
        let peer = extensions
            .get()
            .map(|ConnectInfo::<SocketAddr>(peer)| *peer);
        let requester = Requester {
            who: visitor.unwrap_or_else(|| who(how).to_owned()),
            origin: origin(peer, &headers),
        };
        let fields: Result<Form<HashMap<String, String>>, _> = request.extract().await;
        Ok(Self {
            headers,
            how,
            requester,
            fields: fields.map_err(IntoResponse::into_response)?.0,
        })
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The listener or job that a form names; `None` if a program leaves that to the address.
    fn entity(&self, kind: &str) -> Option<Entity> {
        let text = |name: &str| self.fields.get(name).cloned();
        let (app, name) = (text("app")?, text("name")?);
        let instance = text("instance")?.parse().ok()?;
        let kinds = EntityKind::ALL.into_iter();
        match kinds.into_iter().find(|it| shown::kind_of(*it) == kind)? {
            EntityKind::Job => Some(Entity::job(app, instance, name)),
            EntityKind::Listener => Some(Entity::listener(app, instance, name, text("topic")?)),
        }
    }

    /// Whether a page of this dashboard posted it, or a program that has the token. That it is not one of another site
    /// was checked where the header says so; here it has to say so.
    fn is_own(&self, acting: &Acting) -> bool {
        let site = self.headers.get(HeaderName::from_static("sec-fetch-site"));
        let says_so =
            self.headers.contains_key(ORIGIN) || site.is_some_and(|it| it == "same-origin");
        let nonce = acting.nonce.as_ref();
        let is_of_a_page = nonce.is_some_and(|it| it.is(self.field("nonce")));
        self.how == LetIn::Bearer || says_so && is_of_a_page
    }
}

const fn who(how: LetIn) -> &'static str {
    match how {
        LetIn::Bearer => "a program with the token",
        LetIn::Cookie => "somebody with the token",
        LetIn::Openly => "somebody",
    }
}

/// The address that a request comes from, and those that it says it comes from: the last of them, which the nearest proxy
/// has added.
fn origin(peer: Option<SocketAddr>, headers: &HeaderMap) -> String {
    let peer = peer.map_or_else(|| "an unknown address".to_owned(), |it| it.to_string());
    let said = headers.get_all(HeaderName::from_static("x-forwarded-for"));
    let said: Vec<_> = said
        .iter()
        .map(|it| String::from_utf8_lossy(it.as_bytes()))
        .collect();
    if said.is_empty() {
        return peer;
    }
    let said = said.join(", ");
    let left_out = said.chars().count().saturating_sub(SAID_MAX);
    let mark = if left_out > 0 { "…" } else { "" };
    format!(
        "{peer}, says for {mark}{}",
        said.chars().skip(left_out).collect::<String>()
    )
}

/// Runs, pauses or resumes a listener or job.
pub(crate) async fn act(
    State(site): State<Arc<Site>>,
    Path((kind, row)): Path<(String, String)>,
    request: Request,
) -> Response {
    let posted = match Posted::of(request).await {
        Ok(posted) => posted,
        Err(response) => return response,
    };
    let to = format!("/handlers/{kind}/{row}");
    let acted = async {
        let acting = allowed(&site, &posted)?;
        let found = registered(&site, kind.clone(), row.clone()).await;
        let entity = found.or_else(|refused| match refused {
            // That somebody can pause a job does not depend on whether the history can be read.
            Refused::Unreadable(_) | Refused::TooLong | Refused::Busy => {
                posted.entity(&kind).map(Arc::new).ok_or(refused)
            }
            refused => Err(refused),
        })?;
        let action = match posted.field("action") {
            "run" => Action::Run(entity),
            "pause" => Action::Pause(entity),
            "resume" => Action::Resume(entity),
            other => {
                let why = format!("`{other}` is not run, pause or resume");
                return Err(Refused::bad(why));
            }
        };
        let requester = posted.requester.clone();
        Ok(acting.actions.act(action, requester).await)
    };
    answered(&site, &posted, acted.await, &to)
}

/// Looks a listener or job up, within the limits of pages.
async fn registered(site: &Arc<Site>, kind: String, row: String) -> Result<Arc<Entity>, Refused> {
    let find = async move |asked: Asked| {
        let registered = registration(&asked, &kind, &row).await?;
        Ok(registered.registration.entity)
    };
    read(Arc::clone(site), Vec::new(), Patience::Page, find).await
}

/// Cancels an execution.
pub(crate) async fn cancel(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let posted = match Posted::of(request).await {
        Ok(posted) => posted,
        Err(response) => return response,
    };
    let acted = async {
        let acting = allowed(&site, &posted)?;
        let uuid = Uuid::try_parse(&id);
        let uuid =
            uuid.map_err(|_| Refused::bad(format!("`{id}` is not the id of an execution")))?;
        let action = Action::Cancel(ExecutionId::from_uuid(uuid));
        let requester = posted.requester.clone();
        Ok(acting.actions.act(action, requester).await)
    };
    answered(&site, &posted, acted.await, "/")
}

fn allowed<'s>(site: &'s Site, posted: &Posted) -> Result<&'s Acting, Refused> {
    let forbidden = |why: &str| Refused::Forbidden(why.to_owned());
    let acting = site.acting.as_ref();
    let acting = acting.ok_or_else(|| {
        forbidden(
            "this dashboard only shows; `executor run --serve --allow-actions` lets people act",
        )
    })?;
    match posted.is_own(acting) {
        true => Ok(acting),
        false => Err(forbidden(
            "this was not posted by a page of this dashboard, or by one from before it was restarted: open the page anew",
        )),
    }
}

/// Says what became of it: the page where it can be seen, or why it was not done.
fn answered(
    site: &Site,
    posted: &Posted,
    acted: Result<ActionOutcome, Refused>,
    to: &str,
) -> Response {
    let wants_json = wants_json(&posted.headers);
    let refused = |refused: Refused| refused.response_from(&site.base, to, wants_json);
    let ActionOutcome {
        done, not_recorded, ..
    } = match acted {
        Ok(acted) => acted,
        Err(why) => return refused(why),
    };
    let unrecorded = not_recorded
        .map(|error| format!("who asked for it is only in the program's log so far: {error}"));
    match (done, unrecorded) {
        (Err(why), None) => refused(Refused::NotNow(why.to_string())),
        (Err(why), Some(unrecorded)) => refused(Refused::NotNow(format!("{why}; {unrecorded}"))),
        (Ok(id), unrecorded) if wants_json => {
            let id = id.map(|it| it.to_string());
            let answer = json!({
                "done": true, "execution": id, "recorded": unrecorded.is_none(), "warning": unrecorded,
            });
            Json(answer).into_response()
        }
        (Ok(_), Some(unrecorded)) => refused(Refused::NotRecorded(format!(
            "It was done, but {unrecorded}"
        ))),
        (Ok(_), None) => Redirect::to(&format!("{}{to}", site.base)).into_response(),
    }
}

/// An action that was recorded.
#[derive(Serialize)]
pub(crate) struct Done {
    /// The session that was asked.
    pub(crate) session: String,
    #[serde(rename = "at_us")]
    pub(crate) at: Moment,
    pub(crate) who: String,
    pub(crate) origin: String,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) outcome: String,
}

impl Done {
    pub(crate) fn of(action: &RecordedAction) -> Self {
        Self {
            session: action.session.map(|it| it.to_string()).unwrap_or_default(),
            at: Moment(action.at),
            who: action.who.clone(),
            origin: action.origin.clone(),
            action: action.action.clone(),
            target: action.target.clone(),
            outcome: action.outcome.clone(),
        }
    }
}

/// What people asked for in the range of a page, the latest first, of their latest thousand actions.
pub(crate) async fn asked_for(
    asked: &Asked,
    is_it: impl Fn(&RecordedAction) -> bool,
) -> Result<Vec<Done>, Refused> {
    let request = PageRequest::first(LOOKED_AT);
    let page = asked
        .history()
        .actions(asked.range.window(), request)
        .await?;
    let of_it = page.items.iter().filter(|it| is_it(it));
    Ok(of_it.take(SHOWN_MAX).map(Done::of).collect())
}

/// What a page offers to do with a listener or job, if it is registered in the executor that can be asked.
pub(crate) fn offer(asked: &Asked, entity: &Entity) -> Option<Offer> {
    let acting = asked.site.acting.as_ref()?;
    Some(Offer {
        nonce: acting.nonce()?,
        entity: entity.clone(),
        is_job: entity.kind == EntityKind::Job,
        is_paused: acting.actions.is_paused(entity)?,
    })
}

/// What a page offers to do with a listener or job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) nonce: String,
    pub(crate) entity: Entity,
    pub(crate) is_job: bool,
    pub(crate) is_paused: bool,
}
