//! How times, durations and names are shown, in one way on every page. What templates show is escaped by them; what
//! charts show is escaped here.

use std::fmt;
use std::time::Duration;

use executor_core::ports::StoredExecution;
use executor_core::{EntityKind, Status, Timestamp};
use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

/// What time it is.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

fn zoned(at: Timestamp, zone: TimeZone) -> Option<ZonedDateTime> {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
    Some(at.to_zoned_datetime(zone))
}

fn formatted(at: Timestamp, zone: TimeZone, format: &str) -> String {
    let zoned = zoned(at, zone);
    let text = zoned.map(|zoned| zoned.strftime(format).to_string());
    text.unwrap_or_else(|| format!("{} µs", at.as_micros()))
}

/// The time on this machine's clock, with the date unless it is today.
pub(crate) fn time(at: Timestamp) -> String {
    let day = |at| zoned(at, TimeZone::system()).map(|it| it.date());
    let format = match day(at) == day(now()) {
        true => "today %H:%M:%S",
        false => return dated(at),
    };
    formatted(at, TimeZone::system(), format)
}

/// The time with its date, and the year unless it is this one.
pub(crate) fn dated(at: Timestamp) -> String {
    let year = |at| zoned(at, TimeZone::system()).map(|it| it.year());
    let format = match year(at) == year(now()) {
        true => "%a %d %b %H:%M:%S",
        false => "%a %d %b %Y %H:%M:%S",
    };
    formatted(at, TimeZone::system(), format)
}

/// Round times between two, at most so many.
pub(crate) fn ticks(from: Timestamp, to: Timestamp, most: i64) -> Vec<Timestamp> {
    const SECOND: i64 = 1_000_000;
    const STEPS: [i64; 26] = [
        1_000,
        5_000,
        10_000,
        50_000,
        100_000,
        500_000,
        SECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
        60 * SECOND,
        120 * SECOND,
        300 * SECOND,
        600 * SECOND,
        1_800 * SECOND,
        3_600 * SECOND,
        7_200 * SECOND,
        10_800 * SECOND,
        21_600 * SECOND,
        43_200 * SECOND,
        86_400 * SECOND,
        172_800 * SECOND,
        604_800 * SECOND,
        2_419_200 * SECOND,
        7_257_600 * SECOND,
        29_030_400 * SECOND,
    ];
    let offset = zoned(from, TimeZone::system()).map_or(0, |it| i64::from(it.offset().seconds()));
    let offset = offset * SECOND;
    let (from, to) = (from.as_micros(), to.as_micros());
    let fits = |step: &&i64| (to - from) / **step <= most;
    let step = STEPS.iter().find(fits).copied().unwrap_or(to - from).max(1);
    let first = (from + offset).div_euclid(step) + 1;
    let ticks = (first..).map(|place| place * step - offset);
    ticks
        .take_while(|at| *at < to)
        .map(Timestamp::from_micros)
        .collect()
}

/// The time below a chart that is so many microseconds wide: as much of it as tells its places apart.
pub(crate) fn tick(at: Timestamp, width_us: i64) -> String {
    let format = match width_us {
        ..5_000_000 => "%H:%M:%S%.3f",
        5_000_000..600_000_000 => "%H:%M:%S",
        // Within one day or two, so that a day is one.
        600_000_000..90_000_000_000 => "%H:%M",
        90_000_000_000..864_000_000_000 => "%a %d %H:%M",
        864_000_000_000..26_000_000_000_000 => "%d %b",
        _ => "%b %Y",
    };
    formatted(at, TimeZone::system(), format)
}

/// The time as a field of a form has it.
pub(crate) fn field(at: Timestamp) -> String {
    formatted(at, TimeZone::system(), "%Y-%m-%dT%H:%M:%S")
}

/// The zone of this machine's clock, and its offset now.
pub(crate) fn zone() -> String {
    let name = TimeZone::system().iana_name().unwrap_or("local").to_owned();
    format!("{name}, UTC{}", formatted(now(), TimeZone::system(), "%:z"))
}

/// The time to the millisecond, on this machine's clock.
pub(crate) fn exact(at: Timestamp) -> String {
    formatted(at, TimeZone::system(), "%Y-%m-%d %H:%M:%S%.3f %Z")
}

/// The time to the millisecond in UTC, as machines read it.
pub(crate) fn utc(at: Timestamp) -> String {
    formatted(at, TimeZone::UTC, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// A duration in three digits or so, or two units.
pub(crate) fn took(duration: Duration) -> String {
    let (us, s) = (duration.as_micros(), duration.as_secs());
    match us {
        0..1_000 => format!("{us} µs"),
        // What would be rounded to the next unit is one of it.
        1_000..999_950 => format!("{:.1} ms", us as f64 / 1e3),
        999_950..59_950_000 => format!("{:.1} s", us as f64 / 1e6),
        59_950_000..3_600_000_000 => format!("{} m {:02} s", s.max(60) / 60, s.max(60) % 60),
        3_600_000_000..86_400_000_000 => format!("{} h {:02} m", s / 3_600, s / 60 % 60),
        _ => format!("{} d {:02} h", s / 86_400, s / 3_600 % 24),
    }
}

/// How long an execution took; of one that was interrupted only the least is known.
pub(crate) fn took_of(execution: &StoredExecution) -> String {
    let record = &execution.record;
    match record.status {
        Status::Skipped => "–".into(),
        Status::Interrupted if record.duration.is_zero() => "?".into(),
        Status::Interrupted => format!("≥ {}", took(record.duration)),
        _ => took(record.duration),
    }
}

/// The word for a kind.
pub(crate) const fn kind_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Listener => "listener",
        EntityKind::Job => "job",
    }
}

/// Why an execution ended as it did, in a line.
pub(crate) fn why(execution: &StoredExecution) -> String {
    let record = &execution.record;
    match (record.status, record.failure.as_deref()) {
        (Status::Interrupted, _) => "its process died".into(),
        (_, Some(failure)) if failure.message.is_empty() => failure.error_type.clone(),
        (_, Some(failure)) => failure.message.clone(),
        (_, None) => String::new(),
    }
}

/// A word of a command line for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=+,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A number of things, in words that agree with it.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if what.ends_with('s') { "es" } else { "s" };
    match count {
        0 => format!("no {what}{plural}"),
        1 => format!("1 {what}"),
        _ => format!("{} {what}{plural}", grouped(count)),
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Makes markup of texts: nothing of them is markup, and what would change how others are read can be seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visible;

impl askama::filters::Escaper for Visible {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => dest.write_str("&amp;")?,
                '<' => dest.write_str("&lt;")?,
                '>' => dest.write_str("&gt;")?,
                '"' => dest.write_str("&quot;")?,
                '\'' => dest.write_str("&#39;")?,
                c if is_obeyed(c) => dest.write_char('\u{fffd}')?,
                c => dest.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Whether a character is none that is seen, but one that is obeyed: by whatever shows it, or by the direction of text.
fn is_obeyed(c: char) -> bool {
    let is_of_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_of_direction || c.is_control() && !matches!(c, '\n' | '\t')
}

/// A text as markup shows it.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // Writing to a string does not fail.
    let _ = askama::filters::Escaper::write_escaped_str(&Visible, &mut escaped, text);
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{counted, escaped, grouped, took};

    #[test]
    fn j03_numbers_are_exact_and_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(counted(0, "process"), "no processes");
        assert_eq!(counted(1, "execution"), "1 execution");
        assert_eq!(counted(1_200, "execution"), "1,200 executions");
        assert_eq!(took(Duration::from_micros(999)), "999 µs");
        assert_eq!(took(Duration::from_millis(1_500)), "1.5 s");
        assert_eq!(took(Duration::from_micros(999_960)), "1.0 s");
        assert_eq!(took(Duration::from_micros(59_960_000)), "1 m 00 s");
        assert_eq!(took(Duration::from_secs(61)), "1 m 01 s");
        assert_eq!(took(Duration::from_secs(90_000)), "1 d 01 h");
    }

    #[test]
    fn j02_nothing_in_a_chart_is_markup() {
        assert_eq!(escaped("a\u{202e}b\u{1b}[m\nc"), "a\u{fffd}b\u{fffd}[m\nc");
        assert_eq!(
            escaped("<script>alert('\"&')</script>"),
            "&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"
        );
    }
}
