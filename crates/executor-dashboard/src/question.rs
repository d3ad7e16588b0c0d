//! What a page is asked, which its address holds completely.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::ports::Window;
use form_urlencoded::Serializer;

use crate::answer::Refused;
use crate::shown;

/// The span of time that is shown unless another one is asked for.
const USUALLY: &str = "24h";

/// How much may be asked.
const LENGTH_MAX: usize = 2_048;
const PAIRS_MAX: usize = 48;

/// The parts of an address that are the same from page to page.
const OF_RANGE: [&str; 2] = ["since", "until"];

/// The question in an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    pairs: Vec<(String, String)>,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Whether it goes on: then an answer also has what ends after now.
    pub(crate) is_open: bool,
}

impl Range {
    pub(crate) fn window(&self) -> Window {
        Window {
            from: Some(self.from),
            to: (!self.is_open).then_some(self.to),
            session: None,
        }
    }

    /// The bounds of parts of the same length, rounded outwards to whole minutes, hours or days (UTC): rollups have those.
    pub(crate) fn parts(&self) -> Vec<Timestamp> {
        self.parts_of(PARTS_MAX)
    }

    /// The same with at most so many parts, and one more for the rounding.
    pub(crate) fn parts_of(&self, most: i64) -> Vec<Timestamp> {
        let (from, to) = (self.from.as_micros(), self.to.as_micros());
        let fits = |step: &&i64| (to - from).div_euclid(**step) < most;
        let longest = STEPS_US[STEPS_US.len() - 1];
        let step = STEPS_US.iter().find(fits).copied().unwrap_or(longest);
        let first = from.div_euclid(step);
        let last = to.div_euclid(step) + i64::from(to.rem_euclid(step) > 0);
        let first = first.max(last - most - 1);
        let bounds = (first..=last).map(|part| Timestamp::from_micros(part * step));
        bounds.collect()
    }
}

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// How long a part of a chart may be.
const STEPS_US: [i64; 15] = [
    MINUTE_US,
    2 * MINUTE_US,
    5 * MINUTE_US,
    10 * MINUTE_US,
    30 * MINUTE_US,
    HOUR_US,
    2 * HOUR_US,
    3 * HOUR_US,
    6 * HOUR_US,
    DAY_US,
    2 * DAY_US,
    7 * DAY_US,
    28 * DAY_US,
    364 * DAY_US,
    3_640 * DAY_US,
];

/// The most parts of a chart, and one more for the rounding.
const PARTS_MAX: i64 = 48;

impl Question {
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Result<Self, Refused> {
        // It comes back in every link of a page.
        let length = |(name, value): &(String, String)| name.len() + value.len();
        let length: usize = pairs.iter().map(length).sum();
        if length > LENGTH_MAX || pairs.len() > PAIRS_MAX {
            return Err(Refused::bad("the question is too long"));
        }
        // A form sends what nobody has filled in, too.
        let pairs = pairs.into_iter();
        let pairs = pairs.filter(|(_, value)| !value.trim().is_empty());
        Ok(Self {
            pairs: pairs.collect(),
        })
    }

    /// The value of a part, the first if there are several.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.pairs.iter().filter(move |(part, _)| part == name);
        named.map(|(_, value)| value.trim())
    }

    /// Whether a part has this value.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|it| it == value)
    }

    /// The span of time, as of `now`.
    pub(crate) fn range(&self, now: Timestamp) -> Result<Range, Refused> {
        let since = self.one("since").unwrap_or(USUALLY);
        let until = self.one("until");
        let to = until.map_or(Ok(now), |text| moment(text, now))?;
        let from = moment(since, now)?;
        if from >= to {
            return Err(Refused::bad("`since` is not before `until`"));
        }
        Ok(Range {
            from,
            to,
            is_open: until.is_none(),
        })
    }

    /// The question with some parts put in the places of those of the same name; nothing takes a part away.
    pub(crate) fn with(&self, parts: &[(&str, &str)]) -> String {
        let kept = self.pairs.iter();
        let kept = kept.filter(|(name, _)| parts.iter().all(|(other, _)| other != name));
        let mut query = Serializer::new(String::new());
        query.extend_pairs(kept);
        query.extend_pairs(parts.iter().filter(|(_, value)| !value.is_empty()));
        query.finish()
    }

    /// The span of time alone, with more parts.
    pub(crate) fn range_with(&self, parts: &[(&str, &str)]) -> String {
        let of_range = OF_RANGE.iter();
        let of_range =
            of_range.filter_map(|name| Some(((*name).to_owned(), self.one(name)?.to_owned())));
        let of_range = Self {
            pairs: of_range.collect(),
        };
        of_range.with(parts)
    }

    /// The span of time as it was asked, also if that is the usual one.
    pub(crate) fn whole_range(&self) -> String {
        let since = self.one("since").unwrap_or(USUALLY);
        self.range_with(&[("since", since)])
    }

    /// The span of time as the flags of a command.
    pub(crate) fn flags(&self, range: &Range) -> String {
        let since = self.one("since").unwrap_or(USUALLY);
        let since = match ago(since) {
            Some(_) => since.to_owned(),
            None => shown::utc(range.from),
        };
        let until = (!range.is_open).then(|| format!(" --until {}", shown::utc(range.to)));
        format!("--since {since}{}", until.unwrap_or_default())
    }
}

/// From the year 1 to 9999.
const SHOWN_US: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// A time: how long ago, such as `90m`, `24h` or `7d`, a time on this machine's clock, such as `2026-11-28T03:00`, one with
/// its offset, or microseconds since 1970.
pub(crate) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Refused> {
    let not_a_time = || {
        Refused::bad(format!(
            "`{text}` is not a time: write 24h, 7d, 2026-11-28T03:00, or microseconds since 1970"
        ))
    };
    let of = |at: jiff::Timestamp| Timestamp::from_micros(at.as_microsecond());
    let local = || {
        let at = text.parse::<jiff::civil::DateTime>().ok()?;
        let zoned = at.to_zoned_datetime(jiff::tz::TimeZone::system()).ok()?;
        Some(of(zoned.timestamp()))
    };
    let micros = text.parse::<i64>().ok().map(Timestamp::from_micros);
    let at = micros
        .or_else(|| ago(text).map(|ago| now.saturating_sub(ago)))
        .or_else(|| text.parse::<jiff::Timestamp>().ok().map(of))
        .or_else(local)
        .ok_or_else(not_a_time)?;
    // Between years that can be shown, all spans of time can be computed.
    match SHOWN_US.contains(&at.as_micros()) {
        true => Ok(at),
        false => Err(not_a_time()),
    }
}

fn ago(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// A duration: `250ms`, `4s`, `10m` or `2h`.
pub(crate) fn length(text: &str) -> Result<Duration, Refused> {
    let ms = text.strip_suffix("ms");
    let ms = ms.and_then(|number| number.parse().ok());
    ms.map(Duration::from_millis)
        .or_else(|| ago(text))
        .ok_or_else(|| {
            Refused::bad(format!(
                "`{text}` is not a duration: write 250ms, 4s or 10m"
            ))
        })
}

/// The spans of time that every page offers.
pub(crate) const RANGES: [(&str, &str); 6] = [
    ("1h", "hour"),
    ("24h", "day"),
    ("7d", "week"),
    ("30d", "month"),
    ("90d", "quarter"),
    ("365d", "year"),
];

/// The range in words.
pub(crate) fn range_in_words(question: &Question, range: &Range) -> String {
    let since = question.one("since").unwrap_or(USUALLY);
    let preset = RANGES.iter().find(|(value, _)| *value == since);
    match (preset, range.is_open) {
        (Some((_, name)), true) => format!("the last {name}"),
        _ => format!("{} – {}", shown::dated(range.from), shown::dated(range.to)),
    }
}

#[cfg(test)]
mod tests {
    use executor_core::Timestamp;
    use proptest::prelude::*;

    use super::Question;

    fn asked(pairs: &[(&str, &str)]) -> Question {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| ((*name).into(), (*value).into()));
        Question::new(pairs.collect()).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    #[test]
    fn j03_a_range_is_relative_or_exact() {
        let hour = asked(&[("since", "1h")]).range(NOW).unwrap();
        assert_eq!(hour.to, NOW);
        assert_eq!(hour.from.as_micros(), NOW.as_micros() - 3_600_000_000);
        assert!(hour.is_open && hour.window().to.is_none());
        let exact = asked(&[("since", "100"), ("until", "200")])
            .range(NOW)
            .unwrap();
        assert_eq!((exact.from.as_micros(), exact.to.as_micros()), (100, 200));
        assert_eq!(exact.window().to, Some(exact.to));
        for wrong in [
            &[("since", "soon")][..],
            &[("since", "9999999999999999999d")],
            &[("since", "200"), ("until", "100")],
            &[("since", "ß")],
            &[("since", "5"), ("until", "5")],
        ] {
            assert!(asked(wrong).range(NOW).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn j03_links_keep_what_was_asked() {
        let question = asked(&[
            ("since", "7d"),
            ("status", "error"),
            ("status", "panicked"),
            ("app", "a&b"),
        ]);
        assert_eq!(
            question.with(&[("after", "x y")]),
            "since=7d&status=error&status=panicked&app=a%26b&after=x+y"
        );
        assert_eq!(
            question.with(&[("status", ""), ("app", "c")]),
            "since=7d&app=c"
        );
        assert_eq!(question.range_with(&[("app", "z")]), "since=7d&app=z");
    }

    #[test]
    fn j03_a_range_is_kept_once_and_said_to_the_program() {
        let question = asked(&[
            ("since", "7d"),
            ("since", "AAAA"),
            ("until", "2026-11-28T03:00:00Z"),
        ]);
        assert_eq!(
            question.range_with(&[]),
            "since=7d&until=2026-11-28T03%3A00%3A00Z"
        );
        let range = asked(&[("since", "100"), ("until", "2000000")]);
        let flags = range.flags(&range.range(NOW).unwrap());
        assert_eq!(
            flags,
            "--since 1970-01-01T00:00:00.000Z --until 1970-01-01T00:00:02.000Z"
        );
        let day = asked(&[]);
        assert_eq!(day.flags(&day.range(NOW).unwrap()), "--since 24h");
        let many = vec![("a".to_owned(), "b".repeat(3_000))];
        assert!(Question::new(many).is_err());
        assert!(Question::new(vec![("a".to_owned(), "b".to_owned()); 49]).is_err());
    }

    proptest! {
        #[test]
        fn j03_parts_cover_a_range_with_whole_minutes(from in any::<i32>(), length in 1_i64..2_000_000_000_000_000) {
            let from = i64::from(from);
            let (since, until) = (from.to_string(), (from + length).to_string());
            let range = asked(&[("since", &since), ("until", &until)]).range(NOW).unwrap();
            let parts = range.parts();
            prop_assert!((2..=50).contains(&parts.len()), "{}", parts.len());
            let step = parts[1].as_micros() - parts[0].as_micros();
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[1].as_micros() - pair[0].as_micros(), step);
                prop_assert_eq!(pair[0].as_micros() % 60_000_000, 0);
            }
            prop_assert!(parts[0] <= range.from && parts[0].as_micros() > range.from.as_micros() - step);
            prop_assert!(parts[parts.len() - 1] >= range.to);
        }
    }
}
