//! What stands around every page: where one is, the span of time, how complete it is, and the same as a command.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::ports::History;
use executor_service::diagnosis::Completeness;
use serde::Serialize;

use crate::answer::Refused;
use crate::assets::{ICON, SCRIPT, STYLE};
use crate::pages::asked::Asked;
use crate::pages::processes::without_process;
use crate::question::{RANGES, range_in_words};
use crate::shown::{self, counted, grouped};

/// What stands around a page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Frame {
    #[serde(skip)]
    pub(crate) base: String,
    #[serde(skip)]
    pub(crate) style: &'static str,
    #[serde(skip)]
    pub(crate) icon: &'static str,
    #[serde(skip)]
    pub(crate) script: &'static str,
    #[serde(skip)]
    pub(crate) title: String,
    /// How complete the history of this time is.
    pub(crate) completeness: String,
    pub(crate) is_complete: bool,
    /// The span of time in words.
    pub(crate) range: String,
    #[serde(skip)]
    pub(crate) range_in_utc: String,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    /// The span of time as it was asked.
    #[serde(skip)]
    pub(crate) since: String,
    #[serde(skip)]
    pub(crate) until: String,
    /// The same as fields have it.
    #[serde(skip)]
    pub(crate) from_field: String,
    #[serde(skip)]
    pub(crate) to_field: String,
    /// Whether the sentence is more than that all is well.
    #[serde(skip)]
    pub(crate) is_calm: bool,
    /// The query that keeps it.
    #[serde(skip)]
    pub(crate) keep: String,
    #[serde(skip)]
    pub(crate) pages: Vec<Link>,
    #[serde(skip)]
    pub(crate) ranges: Vec<Choice>,
    /// The zone of the clock.
    pub(crate) zone: String,
    /// The same as a command.
    pub(crate) command: String,
}

/// A page with what stands around it.
pub(crate) trait Framed {
    fn frame_mut(&mut self) -> &mut Frame;
}

/// A page that every page leads to, by its link or by the key `g` and this one.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) key: &'static str,
    pub(crate) is_here: bool,
}

const PAGES: [(&str, &str, &str); 7] = [
    ("Now", "/", "n"),
    ("Executions", "/executions", "e"),
    ("Handlers and jobs", "/handlers", "h"),
    ("Errors", "/errors", "r"),
    ("Timeline", "/timeline", "t"),
    ("Ledger", "/ledger", "l"),
    ("Health and settings", "/health", "s"),
];

/// A link among several, one of which may be where one is.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) query: String,
    pub(crate) is_here: bool,
}

impl Frame {
    /// Says what of the database cannot be read.
    pub(crate) fn add_left_out(&mut self, history: &dyn History) {
        let left_out = history.left_out().len() as u64;
        if left_out > 0 {
            let places = counted(left_out, "place");
            let damage = format!("{places} of the database cannot be read");
            self.completeness = match self.is_complete {
                true => format!("Incomplete: {damage}"),
                false => format!("{}; {damage}", self.completeness),
            };
            (self.is_complete, self.is_calm) = (false, false);
        }
    }
}

impl Asked {
    /// What stands around a page: its title, and the command that says the same of this time.
    pub(crate) async fn frame(
        &self,
        title: &str,
        verb: &str,
        more: &str,
    ) -> Result<Frame, Refused> {
        let flags = self.question.flags(&self.range);
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(" {more}")
        };
        let command = format!("{verb} {flags}{more}");
        self.timeless_frame(title, &command).await
    }

    /// The same with a command that knows no time.
    pub(crate) async fn timeless_frame(
        &self,
        title: &str,
        command: &str,
    ) -> Result<Frame, Refused> {
        let missing = self.missing().await?;
        let nobody_since = self.nobody_since().await?;
        let database = match self.site.database.as_str() {
            "" => String::new(),
            database => format!(" --db {}", shown::quoted(database)),
        };
        let asked = |name: &str| self.question.one(name).unwrap_or_default().to_owned();
        let ranges = RANGES.iter().map(|(value, name)| Choice {
            name,
            query: self
                .question
                .with(&[("since", value), ("until", ""), ("after", "")]),
            is_here: self.range.is_open && self.question.one("since").unwrap_or("24h") == *value,
        });
        let pages = PAGES.iter().map(|&(name, path, key)| Link {
            name,
            path,
            key,
            is_here: name == title,
        });
        Ok(Frame {
            base: self.site.base.clone(),
            style: STYLE.path,
            icon: ICON.path,
            script: SCRIPT.path,
            title: title.to_owned(),
            completeness: format!(
                "{}{}",
                nobody_since.map(nobody).unwrap_or_default(),
                sentence(
                    missing,
                    without_process(self.sessions().await?, &self.range)
                )
            ),
            is_complete: missing.is_complete(),
            range: range_in_words(&self.question, &self.range),
            range_in_utc: format!(
                "{} – {}",
                shown::utc(self.range.from),
                shown::utc(self.range.to)
            ),
            from_us: self.range.from.as_micros(),
            to_us: self.range.to.as_micros(),
            since: asked("since"),
            until: asked("until"),
            from_field: shown::field(self.range.from),
            to_field: shown::field(self.range.to),
            is_calm: missing.is_complete() && missing.missed == 0 && nobody_since.is_none(),
            keep: self.question.range_with(&[]),
            pages: pages.collect(),
            ranges: ranges.collect(),
            zone: shown::zone(),
            command: format!("executor {command}{database}"),
        })
    }
}

impl Asked {
    /// Since when no process runs, if the range goes up to now and one ran before.
    async fn nobody_since(&self) -> Result<Option<Timestamp>, Refused> {
        if !self.range.is_open || !self.living().await?.is_empty() {
            return Ok(None);
        }
        let ends = self.sessions().await?.iter();
        Ok(ends
            .map(|it| it.stopped_at.unwrap_or(it.heartbeat_at))
            .max())
    }
}

/// Nothing will be recorded, which matters more than what was.
fn nobody(since: Timestamp) -> String {
    let since = shown::time(since);
    format!(
        "Nothing is running since {since}, and what was planned since then is not counted yet · "
    )
}

/// A restart takes less.
const LONG: Duration = Duration::from_secs(60);

/// How complete a time is, in a sentence.
fn sentence(found: &Completeness, without_process: Duration) -> String {
    let mut parts = Vec::new();
    if found.lost() > 0 {
        parts.push(format!("{} lost", counted(found.lost(), "record")));
    }
    if found.unsettled > 0 {
        let dead = counted(found.unsettled, "process");
        parts.push(format!(
            "the last records of {dead} that died are not stored yet"
        ));
    }
    if found.pruned > 0 {
        parts.push(format!("{} pruned", grouped(found.pruned)));
    }
    let mut sentence = match parts.is_empty() {
        // What was missed never became a record.
        true if found.missed > 0 => "No record is missing".to_owned(),
        true => "Complete: nothing is missing".to_owned(),
        false => format!("Incomplete: {}", parts.join("; ")),
    };
    if found.missed > 0 {
        sentence += &format!(" · {} missed", counted(found.missed, "planned run"));
    }
    // What a process did not run then is no record that is missing, but nothing was recorded either.
    if without_process >= LONG {
        sentence += &format!(" · no process ran for {}", shown::took(without_process));
    }
    sentence
}
