//! What the verbs that look share: which database, which executions, and what is missing.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use command_executor::diagnosis::{Completeness, completeness, is_alive, seems_alive};
use command_executor::inspect::MachineSpools;
use command_executor::ports::{HistoryFuture, PageOf, Scope, SessionStatus, all_pages};
use command_executor::{
    Entity, EntityKind, Filter, History, HistoryErrorClass, LiveSession, LiveState, Orphan,
    PageRequest, RegistrationFilter, SessionId, StoredExecution, StoredRegistration, StoredSession,
    Timestamp, Window,
};

use tokio::sync::OnceCell;

use crate::args::times;
use crate::args::verbs::{Look, Selection, What};
use crate::cmd::database::found_database;
use crate::exit::{DAMAGE_REMEDY, DAMAGED, Failure, NO_MATCH, matched, with_causes};
use crate::output::columns::wrapped;
use crate::output::console::{self, describe};
use crate::output::plain::plain;
use crate::output::shown::{self, Zone, name_of};
use crate::wire;

/// The number of candidates that an ambiguous id lists.
const CANDIDATES: u32 = 10;

/// The number of pages in which nothing can be read that are looked at for one item.
const PAGES_WITHOUT_ANY: usize = 10;

/// The number of damages that are told one by one.
const DAMAGES: usize = 3;

/// Opens the history for a verb, and tells in the end what no answer to it contains because it is damaged.
pub(crate) async fn look<A>(
    look: Look,
    args: A,
    verb: impl AsyncFnOnce(&Looking, A) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&look)?;
    let answer = verb(&looking, args).await;
    let is_damaged = looking.tell_left_out() || looking.cannot_tell.load(Ordering::Relaxed);
    match answer {
        Ok(code) if is_damaged && [ExitCode::SUCCESS, matched(false)].contains(&code) => {
            Ok(ExitCode::from(DAMAGED))
        }
        // It may be what was left out.
        Err(failure) if is_damaged && failure.code() == NO_MATCH => {
            describe(&failure);
            Ok(ExitCode::from(DAMAGED))
        }
        answer => answer,
    }
}

/// An open history, and how to show it.
pub(crate) struct Looking {
    pub(crate) history: Arc<dyn History>,
    pub(crate) url: String,
    pub(crate) zone: Zone,
    pub(crate) json: bool,
    live: OnceCell<Vec<LiveSession>>,
    /// What is missing cannot be told, because of damage.
    cannot_tell: AtomicBool,
}

impl Looking {
    pub(crate) fn new(look: &Look) -> Result<Self, Failure> {
        let url = match &look.db {
            Some(url) => url.clone(),
            None => found_database()?,
        };
        Ok(Self {
            history: wire::history(&url)?,
            zone: Zone::new(look.utc),
            json: look.json,
            live: OnceCell::new(),
            cannot_tell: AtomicBool::new(false),
            url,
        })
    }

    /// Says what was left out because it is damaged; returns whether anything was.
    fn tell_left_out(&self) -> bool {
        let left_out = self.history.left_out();
        for damage in left_out.iter().take(DAMAGES) {
            console::say(&format!("left out: {}", plain(damage)));
        }
        if left_out.len() > DAMAGES {
            let more = left_out.len() - DAMAGES;
            console::say(&format!("left out: {more} more"));
        }
        if !left_out.is_empty() {
            console::say(&format!("the database is damaged: {DAMAGE_REMEDY}"));
        }
        !left_out.is_empty()
    }

    /// Returns the executions that are selected, the latest first or the oldest, at most `limit`, and whether there
    /// are more.
    pub(crate) async fn select(
        &self,
        selection: &Selection,
        mut request: PageRequest,
        line_text: Option<&str>,
    ) -> Result<(Vec<StoredExecution>, bool), Failure> {
        let limit = request.limit as usize;
        // One more tells whether there are more.
        request.limit = request.limit.saturating_add(1);
        let mut found = Vec::new();
        for filter in self.filters(selection, line_text).await? {
            found.extend(self.first(filter, request.clone()).await?);
        }
        let is_reversed = request.order == command_executor::Order::OldestFirst;
        found.sort_by_key(|it| it.record.ended_at());
        if !is_reversed {
            found.reverse();
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok((found, has_more))
    }

    /// Returns at least as many executions as a page is to have, if there are so many: a page may be short.
    async fn first(
        &self,
        filter: Filter,
        mut request: PageRequest,
    ) -> Result<Vec<StoredExecution>, Failure> {
        let mut found = Vec::new();
        loop {
            let page = self.history.executions(filter.clone(), request.clone());
            let page = page.await?;
            found.extend(page.items);
            match page.next {
                Some(next) if found.len() < request.limit as usize => {
                    request = request.following(next);
                }
                _ => return Ok(found),
            }
        }
    }

    /// Returns what to ask for: one question for each listener and job of a name, for an app, or for everything.
    pub(crate) async fn filters(
        &self,
        selection: &Selection,
        line_text: Option<&str>,
    ) -> Result<Vec<Filter>, Failure> {
        let (since, until) = (selection.since, selection.until);
        if since
            .zip(until)
            .is_some_and(|(since, until)| since.from > until.to)
        {
            return Err(Failure::EmptyWindow);
        }
        let session = self.session(selection).await?;
        let filter = |scope: Scope| Filter {
            // Of a session alone the store knows where its executions are.
            scope: match (&scope, session) {
                (Scope::All, Some(session)) => Scope::Session(session),
                _ => scope,
            },
            statuses: selection.statuses(),
            kind: selection.kind.map(|kind| kind.0),
            session,
            from: since.map(|since| since.from),
            to: until.map(|until| until.to),
            min_duration: selection.min_duration.map(|least| least.0),
            error_text: selection.error.clone(),
            line_text: line_text.map(str::to_owned),
            ..Filter::default()
        };
        let scopes = self.scopes(selection).await?;
        Ok(scopes.into_iter().map(filter).collect())
    }

    /// Finds the session that is selected.
    async fn session(&self, selection: &Selection) -> Result<Option<SessionId>, Failure> {
        let Some(text) = &selection.session else {
            return Ok(None);
        };
        let history = &self.history;
        let sessions = match text == "latest" {
            true => Vec::from_iter(first_of(|page| history.sessions(page)).await?),
            false => all_pages(|page| history.sessions(page)).await?,
        };
        let ids = sessions.iter().map(|it| it.session.id);
        let is_it = |id: &SessionId| text == "latest" || begins_with(id, text);
        let found: Vec<SessionId> = ids.filter(is_it).collect();
        match found[..] {
            [] => Err(Failure::NotFound {
                what: format!("a session `{}`", plain(text)),
            }),
            [id] => Ok(Some(id)),
            _ => Err(Failure::SeveralSessions {
                text: plain(text),
                count: found.len(),
            }),
        }
    }

    async fn scopes(&self, selection: &Selection) -> Result<Vec<Scope>, Failure> {
        let Some(name) = &selection.name else {
            let scope = selection.app.clone().map_or(Scope::All, Scope::App);
            return Ok(vec![scope]);
        };
        let is_it = |it: &StoredRegistration| selection.is_about(&it.registration.entity);
        let all = self.registrations(selection.app.clone()).await?;
        let scopes = all
            .iter()
            .filter(|it| is_it(it))
            .map(|it| Scope::Registration(it.id));
        let scopes: Vec<Scope> = scopes.collect();
        if scopes.is_empty() {
            return Err(Failure::NotFound {
                what: format!("a listener or job `{}`", plain(name)),
            });
        }
        Ok(scopes)
    }

    pub(crate) async fn registrations(
        &self,
        app_key: Option<String>,
    ) -> Result<Vec<StoredRegistration>, Failure> {
        let mut all = Vec::new();
        for kind in EntityKind::ALL {
            let filter = RegistrationFilter {
                app_key: app_key.clone(),
                ..RegistrationFilter::of(kind)
            };
            let history = &self.history;
            all.extend(all_pages(|page| history.registrations(filter.clone(), page)).await?);
        }
        Ok(all)
    }

    /// Finds one execution, with its lines: by `latest`, by `APP/NAME` or by an id.
    pub(crate) async fn one(&self, text: &str) -> Result<StoredExecution, Failure> {
        let latest = Selection::default();
        let found = if text == "latest" {
            self.select(&latest, PageRequest::first(1), None).await?.0
        } else if text.contains('/') {
            let what: What = text.parse().map_err(|what| Failure::NotFound { what })?;
            self.latest_of(&what).await?
        } else {
            self.history.find(text.to_owned(), CANDIDATES).await?
        };
        match &found[..] {
            [] => Err(Failure::NotFound {
                what: format!("an execution `{}`", plain(text)),
            }),
            [one] => {
                let id = one.record.execution_id;
                let whole = self.history.execution(id).await?;
                whole.ok_or_else(|| Failure::NotFound {
                    what: id.to_string(),
                })
            }
            several => Err(Failure::Ambiguous {
                text: plain(text),
                has_more: several.len() >= CANDIDATES as usize,
                candidates: several.iter().map(|it| self.candidate(it)).collect(),
            }),
        }
    }

    fn candidate(&self, execution: &StoredExecution) -> String {
        let record = &execution.record;
        let (id, at) = (record.execution_id, self.zone.time(record.ended_at()));
        format!("{id}  {}  {at}", name_of(&record.subject.entity))
    }

    async fn latest_of(&self, what: &What) -> Result<Vec<StoredExecution>, Failure> {
        let all = self.registrations(Some(what.app.clone())).await?;
        let mut latest: Vec<StoredExecution> = Vec::new();
        for its in all.iter().filter(|it| what.is(&it.registration.entity)) {
            let filter = Filter {
                scope: Scope::Registration(its.id),
                ..Filter::default()
            };
            let history = &self.history;
            latest.extend(first_of(|page| history.executions(filter.clone(), page)).await?);
        }
        latest.sort_by_key(|it| it.record.ended_at());
        Ok(latest.pop().into_iter().collect())
    }

    /// Returns the live state of this machine's processes that write this database, as of the first call. Spools that
    /// cannot be read are told, and keep nobody from what can be.
    pub(crate) async fn live(&self) -> Result<&[LiveSession], Failure> {
        let live = self.live.get_or_try_init(async || {
            let Some(spools) = wire::spools(&self.url)?.filter(|spools| spools.exists()) else {
                return Ok(Vec::new());
            };
            let dir = plain(&spools.to_string_lossy());
            match MachineSpools::new(spools).sessions().await {
                Ok(live) => Ok(live),
                Err(error) => {
                    let why = with_causes(&error);
                    console::say(&format!(
                        "the spools in `{dir}` cannot be read ({why}): what runs and waits there is not seen; try as the \
                         user who records"
                    ));
                    self.unseen(&why).await
                }
            }
        });
        Ok(live.await?)
    }

    /// Returns the programs of dead processes of this machine that are still running.
    pub(crate) async fn orphans(&self) -> Result<Vec<Orphan>, Failure> {
        match wire::spools(&self.url)?.filter(|spools| spools.exists()) {
            Some(spools) => Ok(MachineSpools::new(spools).orphans().await?),
            None => Ok(Vec::new()),
        }
    }

    /// What may be in spools that cannot be read: something of each process that has not ended well, nobody knows what.
    async fn unseen(&self, why: &str) -> Result<Vec<LiveSession>, Failure> {
        let (history, now) = (&self.history, shown::now());
        let sessions = all_pages(|page| history.sessions(page)).await?;
        let may_have_some = |it: &StoredSession| match it.status {
            SessionStatus::Running => true,
            SessionStatus::Crashed => !it.counts.is_final,
            SessionStatus::Success | SessionStatus::Failure => false,
        };
        let unseen = sessions.into_iter().filter(may_have_some).map(|it| {
            let is_alive = seems_alive(&it, now);
            let mut unseen = LiveSession::new(it.session, is_alive);
            unseen.unreadable = Some(why.to_owned());
            unseen
        });
        Ok(unseen.collect())
    }

    /// Returns when a session was last known to be alive: by its signs of life, or by the last execution that it
    /// stored.
    pub(crate) async fn last_sign(&self, stored: &StoredSession) -> Result<Timestamp, Failure> {
        if let (SessionStatus::Success | SessionStatus::Failure, Some(at)) =
            (stored.status, stored.stopped_at)
        {
            return Ok(at);
        }
        let filter = Filter {
            scope: Scope::Session(stored.session.id),
            ..Filter::default()
        };
        let history = &self.history;
        let latest = first_of(|page| history.executions(filter.clone(), page)).await?;
        let ended = latest.map(|it| it.record.ended_at());
        Ok(stored
            .heartbeat_at
            .max(ended.unwrap_or(stored.heartbeat_at)))
    }

    /// Returns the sessions whose processes are alive, as far as can be told: the spools of this machine know it, the
    /// others go by their signs of life.
    pub(crate) async fn living(&self) -> Result<Vec<StoredSession>, Failure> {
        let (live, now) = (self.live().await?, shown::now());
        let history = &self.history;
        let mut sessions = all_pages(|page| history.sessions(page)).await?;
        sessions.retain(|stored| is_alive(stored, live, now));
        Ok(sessions)
    }

    pub(crate) async fn completeness(&self, window: &Window) -> Result<Completeness, Failure> {
        // What was looked at before, if anything was: a list of executions asks no spool.
        let live = self.live.get().map_or(&[][..], |live| live);
        Ok(completeness(self.history.as_ref(), window, live, shown::now()).await?)
    }

    /// Returns the last line below a table: what it shows, and what is missing of its time.
    pub(crate) async fn footer(
        &self,
        shown: String,
        window: Window,
        is_about: impl Fn(&Entity) -> bool,
    ) -> Result<String, Failure> {
        let missing = self.missing(window, is_about).await?;
        let missing = missing.map(|missing| format!(" · {missing}"));
        Ok(wrapped(&format!(
            "{shown}{}\n",
            missing.unwrap_or_default()
        )))
    }

    /// Says in a few words what is missing of a time, or nothing.
    pub(crate) async fn missing(
        &self,
        window: Window,
        is_about: impl Fn(&Entity) -> bool,
    ) -> Result<Option<String>, Failure> {
        match self.completeness(&window).await {
            Ok(mut found) => {
                if found.missed > 0 {
                    // Of others nobody has asked.
                    let missed = |page| self.history.missed_runs(window.clone(), page);
                    let missed = all_pages(missed).await?.into_iter();
                    let its = missed.filter(|it| is_about(&it.entity));
                    found.missed = its.map(|it| it.count).sum();
                }
                Ok(missing_of(&found))
            }
            // What was found is shown all the same.
            Err(Failure::Query(error)) if error.class == HistoryErrorClass::Damaged => {
                let why = plain(&with_causes(&error));
                self.cannot_tell.store(true, Ordering::Relaxed);
                Ok(Some(format!("cannot tell what is missing: {why}")))
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns whether an id, or its short form, begins with these digits.
fn begins_with(id: &SessionId, text: &str) -> bool {
    let digits = text.replace('-', "").to_ascii_lowercase();
    let whole = id.as_uuid().simple().to_string();
    whole.starts_with(&digits) || id.short().starts_with(&digits)
}

/// Returns the first item that a query finds: a page of one may have none, because it is damaged, and yet not be the
/// last.
pub(crate) async fn first_of<'h, T>(
    ask: impl Fn(PageRequest) -> HistoryFuture<'h, PageOf<T>>,
) -> Result<Option<T>, Failure> {
    let mut request = PageRequest::first(1);
    for _ in 0..PAGES_WITHOUT_ANY {
        let page = ask(request.clone()).await?;
        match (page.items.into_iter().next(), page.next) {
            (None, Some(next)) => {
                request = request.following(next);
                request.limit = 1_000;
            }
            (found, _) => return Ok(found),
        }
    }
    Ok(None)
}

/// What is missing, in a few words.
pub(crate) fn missing_of(found: &Completeness) -> Option<String> {
    let mut parts = Vec::new();
    if found.lost() > 0 {
        let lost = found.lost();
        parts.push(format!("{lost} records were lost: see `executor audit`"));
    }
    if found.pruned > 0 {
        parts.push(format!("{} were pruned", found.pruned));
    }
    if found.unsettled > 0 {
        let dead = shown::counted(found.unsettled, "process");
        parts.push(format!(
            "the last records of {dead} that died have not been stored: see `executor audit`"
        ));
    }
    let incomplete = (!parts.is_empty()).then(|| format!("incomplete: {}", parts.join("; ")));
    let missed = (found.missed > 0).then(|| {
        let runs = shown::counted(found.missed, "planned run");
        format!("{runs} missed: see `executor timers`")
    });
    let all: Vec<String> = incomplete.into_iter().chain(missed).collect();
    (!all.is_empty()).then(|| all.join(" · "))
}

pub(crate) fn window_of(selection: &Selection) -> Window {
    times::window(selection.since, selection.until)
}
