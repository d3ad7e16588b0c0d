//! `executor sources`: what was read from sources of events, and what of it became of nothing.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use command_executor::ports::{BadLine, UnheardTopic, all_pages};
use command_executor::{SourceCounts, Timestamp};
use serde_json::{Value, json};

use crate::args::times;
use crate::args::verbs::SourcesArgs;
use crate::cmd::looking::Looking;
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text, wrapped};
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

/// The topics of a source that are named in its line.
const TOPICS_NAMED: usize = 3;

/// A source of all sessions that read it.
#[derive(Default)]
struct Source {
    lines: u64,
    events: u64,
    bad_lines: u64,
    unheard: u64,
    topics: BTreeMap<Arc<str>, Topic>,
    first_bad_lines: Vec<BadLine>,
}

/// A topic that nobody listened to.
struct Topic {
    count: u64,
    /// The hours in which it came first and last.
    first: Timestamp,
    last: Timestamp,
}

pub(crate) async fn sources(looking: &Looking, args: SourcesArgs) -> Result<ExitCode, Failure> {
    let found = read(looking, &args).await?;
    if looking.json {
        console::print(plain::json_lines(found.iter().map(json_of))).await?;
        return Ok(matched(!found.is_empty()));
    }
    let sources = by_name(&found);
    let text = match (&args.name, sources.values().next()) {
        (Some(_), Some(source)) => one(looking, &sources, source),
        _ => table(&sources),
    };
    console::print(text).await?;
    Ok(matched(!sources.is_empty()))
}

async fn read(looking: &Looking, args: &SourcesArgs) -> Result<Vec<SourceCounts>, Failure> {
    if let (Some(since), Some(until)) = (&args.since, &args.until)
        && since.from >= until.to
    {
        return Err(Failure::EmptyWindow);
    }
    let window = times::window(args.since, args.until);
    let history = &looking.history;
    let mut found = all_pages(|page| history.sources(window.clone(), page)).await?;
    if let Some(name) = &args.name {
        found.retain(|it| *it.name == **name);
        if found.is_empty() {
            let what = format!("a source `{}`", plain(name));
            return Err(Failure::NotFound { what });
        }
    }
    Ok(found)
}

fn by_name(found: &[SourceCounts]) -> BTreeMap<&str, Source> {
    let mut sources: BTreeMap<&str, Source> = BTreeMap::new();
    // The latest session comes first; the bad lines shown are the latest ones'.
    for counts in found {
        sources.entry(&counts.name).or_default().add(counts);
    }
    sources
}

impl Source {
    fn add(&mut self, counts: &SourceCounts) {
        self.lines += counts.lines;
        self.events += counts.events;
        self.bad_lines += counts.bad_lines;
        self.unheard += counts.unheard;
        for heard in &counts.topics {
            let topic = self.topics.entry(Arc::clone(&heard.topic));
            let topic = topic.or_insert(Topic {
                count: 0,
                first: heard.hour_at,
                last: heard.last_hour_at,
            });
            topic.count += heard.count;
            topic.first = topic.first.min(heard.hour_at);
            topic.last = topic.last.max(heard.last_hour_at);
        }
        if self.first_bad_lines.is_empty() {
            self.first_bad_lines.clone_from(&counts.first_bad_lines);
        }
    }

    /// The most frequent topic first.
    fn most_frequent(&self) -> Vec<(&str, &Topic)> {
        let mut topics: Vec<_> = self.topics.iter().map(|(name, it)| (&**name, it)).collect();
        topics.sort_by_key(|(_, topic)| std::cmp::Reverse(topic.count));
        topics
    }
}

fn table(sources: &BTreeMap<&str, Source>) -> String {
    let titles = ["SOURCE", "LINES", "EVENTS", "BAD", "UNHEARD", "MOSTLY"];
    let mut columns = Columns::new(titles).dispensable(["LINES", "MOSTLY"]);
    for (name, source) in sources {
        columns.row([
            plain(name).into(),
            Text::number(source.lines.to_string()),
            Text::number(source.events.to_string()),
            Text::number(source.bad_lines.to_string()),
            Text::number(source.unheard.to_string()),
            mostly(source).into(),
        ]);
    }
    let table = match sources.is_empty() {
        true => String::new(),
        false => columns.text(),
    };
    format!("{table}{}", wrapped(&footer(sources)))
}

fn footer(sources: &BTreeMap<&str, Source>) -> String {
    let count = shown::counted(sources.len() as u64, "source");
    match sources.values().any(|source| source.unheard > 0) {
        true => format!(
            "{count}; unheard events matched no listener: `executor sources NAME` lists their topics\n"
        ),
        false => format!("{count}\n"),
    }
}

fn mostly(source: &Source) -> String {
    let topics = source.most_frequent();
    let named = topics.iter().take(TOPICS_NAMED);
    let named: Vec<String> = named.map(|(name, _)| topic_of(name)).collect();
    named.join(", ")
}

/// All beyond the first thousand of a session have none of their own.
fn topic_of(name: &str) -> String {
    match name.is_empty() {
        true => "(others)".to_owned(),
        false => plain(name),
    }
}

fn one(looking: &Looking, sources: &BTreeMap<&str, Source>, source: &Source) -> String {
    let mut text = table(sources);
    text.truncate(text.rfind("1 source").unwrap_or(text.len()));
    if !source.topics.is_empty() {
        text.push_str(&format!("\n{}", table_of_topics(looking, source)));
    }
    if !source.first_bad_lines.is_empty() {
        text.push_str(&format!("\n{}", table_of_bad_lines(looking, source)));
    }
    text
}

fn table_of_topics(looking: &Looking, source: &Source) -> String {
    let mut columns = Columns::new(["UNHEARD", "FROM", "TO", "TOPIC"]).dispensable(["FROM"]);
    for (name, topic) in source.most_frequent() {
        // The hour of the last one ends an hour later.
        let hour = std::time::Duration::from_secs(3_600);
        columns.row([
            Text::number(topic.count.to_string()),
            looking.zone.time(topic.first).into(),
            looking.zone.time(topic.last.saturating_add(hour)).into(),
            topic_of(name).into(),
        ]);
    }
    columns.text()
}

fn table_of_bad_lines(looking: &Looking, source: &Source) -> String {
    let mut columns = Columns::new(["LINE", "READ", "WHAT IS WRONG", "TEXT"]);
    for bad in &source.first_bad_lines {
        columns.row([
            Text::number(bad.line.to_string()),
            looking.zone.time(bad.at).into(),
            plain(&bad.problem).into(),
            plain(&bad.text).into(),
        ]);
    }
    columns.text()
}

fn json_of(counts: &SourceCounts) -> Value {
    let topics = counts.topics.iter().map(json_of_topic);
    let bad_lines = counts.first_bad_lines.iter().map(json_of_bad_line);
    json!({
        "source": &*counts.name,
        "session": counts.session.to_string(),
        "lines": counts.lines,
        "events": counts.events,
        "bad_lines": counts.bad_lines,
        "unheard": counts.unheard,
        "topics": topics.collect::<Vec<_>>(),
        "first_bad_lines": bad_lines.collect::<Vec<_>>(),
    })
}

fn json_of_topic(topic: &UnheardTopic) -> Value {
    json!({
        "first_hour_us": topic.hour_at.as_micros(),
        "last_hour_us": topic.last_hour_at.as_micros(),
        "topic": &*topic.topic,
        "count": topic.count,
    })
}

fn json_of_bad_line(bad: &BadLine) -> Value {
    json!({
        "line": bad.line,
        "at_us": bad.at.as_micros(),
        "problem": bad.problem,
        "text": bad.text,
    })
}
