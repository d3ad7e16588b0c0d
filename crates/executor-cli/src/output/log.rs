//! The log of `executor run`, on standard error.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::with_causes;
use crate::output::colors::{self, ColorWhen};
use crate::output::console;
use crate::output::plain::{self, is_obeyed, plain};

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Sends log lines to standard error, above the line of progress: those that RUST_LOG asks for, else warnings. The
/// failures of handlers are in the table and in the database, so they are logged only when somebody asks for them.
pub(crate) fn log(verbose: bool, format: LogFormat) {
    let is_terminal = io::stderr().is_terminal();
    let text = (format == LogFormat::Text).then(|| {
        tracing_subscriber::fmt::layer()
            .log_internal_errors(false)
            .with_ansi(is_terminal && colors::when() != ColorWhen::Never)
            .with_writer(move || Lines { is_terminal })
    });
    let json = (format == LogFormat::Json).then_some(JsonLines);
    if json.is_some() {
        console::say_in_json();
    }
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let targets = targets(&wanted, verbose);
    tracing_subscriber::registry()
        .with(text)
        .with(json)
        .with(targets.clone().unwrap_or_else(|_| default_targets(verbose)))
        .init();
    if let Err(why) = targets {
        let wanted = plain(&wanted);
        tracing::warn!(
            "ignored RUST_LOG, which is `{wanted}`: {why}; write a level, or targets such as executor_core=info"
        );
    }
}

/// Writes each line as an object.
struct JsonLines;

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields(plain::log_head(
            metadata.level().as_str(),
            metadata.target(),
        ));
        event.record(&mut fields);
        console::write(plain::json_lines([Value::Object(fields.0)]).into_bytes());
    }
}

/// The fields of a line.
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    /// With what is underneath: an error of the store says only what failed.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let text = with_causes(value);
        self.0.insert(field.name().to_owned(), text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        self.0.insert(field.name().to_owned(), text.into());
    }
}

/// Returns the lines that RUST_LOG asks for, or the default ones if it is empty.
fn targets(wanted: &str, verbose: bool) -> Result<Targets, String> {
    if wanted.trim().is_empty() {
        return Ok(default_targets(verbose));
    }
    let asked: Targets = wanted.parse().map_err(|why| format!("{why}"))?;
    // More may be asked for already.
    let is_told = asked.would_enable("executor_core", &tracing::Level::INFO);
    Ok(match verbose && !is_told {
        true => asked.with_target("executor_core", LevelFilter::INFO),
        false => asked,
    })
}

fn default_targets(verbose: bool) -> Targets {
    let handlers = match verbose {
        true => LevelFilter::INFO,
        false => LevelFilter::OFF,
    };
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("executor_core", handlers)
}

/// Where the formatter writes each line.
struct Lines {
    is_terminal: bool,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = shown(&String::from_utf8_lossy(bytes), self.is_terminal);
        console::write(line.into_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a formatted line safe. On a terminal it keeps only the escapes that set a colour: the formatter sanitises
/// texts, but not values that are displayed.
fn shown(line: &str, is_coloured: bool) -> String {
    let (mut shown, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(c) = rest.chars().next() {
        let colour = is_coloured.then(|| colour_of(rest)).flatten();
        let (kept, length) = match colour {
            Some(colour) => (colour, colour.len()),
            None if c == '\n' || !is_obeyed(c) => (&rest[..c.len_utf8()], c.len_utf8()),
            None => ("\u{fffd}", c.len_utf8()),
        };
        shown.push_str(kept);
        rest = &rest[length..];
    }
    shown
}

/// Returns the escape at the beginning of a text if it only sets colours.
fn colour_of(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[length..]
        .starts_with('m')
        .then(|| &text[..length + 3])
}

#[cfg(test)]
mod tests;
