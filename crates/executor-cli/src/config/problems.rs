//! Reads a file of tables although there are mistakes in it, to tell all of them at once.

use std::collections::HashMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer, Error};

/// A byte range in the file, and the mistake that is there.
pub(crate) type Mistake = (Range<usize>, String);

/// The most mistakes that are told of what is no TOML.
const MANY: usize = 3;

/// The number of mistakes after which nobody wants to read more.
const MOST: usize = 100;

/// What could be read, and the mistakes.
pub(super) struct Read<T> {
    /// What is left without the keys that are wrong; `None` if nothing can be made of it.
    pub(super) rest: Option<T>,
    pub(super) mistakes: Vec<Mistake>,
    /// Where the tables begin that lack something now, and what: what they have left may make no sense.
    cut: HashMap<usize, Vec<String>>,
}

impl<T: DeserializeOwned> Read<T> {
    /// Takes out one wrong key after the other until the rest can be read.
    pub(super) fn from(text: &str) -> Self {
        let (mut table, errors) = DeTable::parse_recoverable(text);
        let mut read = Self {
            rest: None,
            mistakes: told_of(&errors),
            cut: HashMap::new(),
        };
        // Of what is no TOML only that is told: the rest may be anything.
        while read.mistakes.len() < MOST && errors.is_empty() {
            let deserializer = Deserializer::from(table.clone());
            match T::deserialize(deserializer) {
                Ok(rest) => {
                    read.rest = Some(rest);
                    break;
                }
                Err(error) if read.take_out(&mut table, &error) => {}
                Err(_) => break,
            }
        }
        read
    }

    /// Returns whether something was taken out.
    fn take_out(&mut self, table: &mut Spanned<DeTable<'_>>, error: &Error) -> bool {
        let out = error
            .span()
            .and_then(|span| take_out(table.get_mut(), &span));
        match out {
            Some(Out::Key { of, name }) => self.cut.entry(of).or_default().push(name),
            Some(Out::Table { at }) => {
                // What it lacks may have been taken out before.
                let taken = self.cut.entry(at).or_default();
                let is_it = |name: &String| error.message().contains(&format!("field `{name}`"));
                if taken.iter().any(is_it) {
                    return true;
                }
            }
            None => {
                self.mistakes.push(mistake_of(error));
                return false;
            }
        }
        self.mistakes.push(mistake_of(error));
        true
    }

    /// Returns whether the table with a certain key, by its place, is as it was written.
    pub(super) fn is_whole(&self, text: &str, key: &Range<usize>) -> bool {
        // Its table begins with the last header before the key.
        let header = text[..key.start].rfind("\n[[").map_or(0, |at| at + 1);
        !self.cut.keys().any(|at| (header..=key.start).contains(at))
    }
}

/// What is no TOML, as far as that helps: a bracket that is missing makes every later line wrong.
fn told_of(errors: &[Error]) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = errors.iter().map(mistake_of).collect();
    mistakes.sort_by_key(|(span, _)| span.start);
    if mistakes.len() > MANY {
        let more = mistakes.len() - 1;
        mistakes.truncate(1);
        mistakes[0]
            .1
            .push_str(&format!("; {more} more follow, perhaps from it"));
    }
    mistakes
}

fn mistake_of(error: &Error) -> Mistake {
    let span = error.span().unwrap_or_default();
    (span, error.message().replace('\n', " "))
}

/// What was taken out.
enum Out {
    /// A key of the table that begins there.
    Key { of: usize, name: String },
    /// A whole table.
    Table { at: usize },
}

fn take_out(file: &mut DeTable<'_>, wrong: &Range<usize>) -> Option<Out> {
    let names: Vec<_> = file.keys().cloned().collect();
    let key = names
        .iter()
        .find_map(|name| take_key_out_of(file.get_mut(name)?, wrong));
    // No key of a table: one of the tables themselves.
    key.or_else(|| {
        let mut names = names.iter();
        names.find_map(|name| take_table_out(file, name, wrong))
    })
}

/// Takes a key out of a table, or out of one of several with the same name.
fn take_key_out_of(value: &mut Spanned<DeValue<'_>>, wrong: &Range<usize>) -> Option<Out> {
    let of = value.span().start;
    match value.get_mut() {
        DeValue::Table(table) => {
            let name = take_key_out(table, wrong)?;
            Some(Out::Key { of, name })
        }
        DeValue::Array(tables) => tables.iter_mut().find_map(|element| {
            let of = element.span().start;
            let DeValue::Table(table) = element.get_mut() else {
                return None;
            };
            let name = take_key_out(table, wrong)?;
            Some(Out::Key { of, name })
        }),
        _ => None,
    }
}

/// Takes a table out of the file, or one of several with the same name.
fn take_table_out<'t>(
    file: &mut DeTable<'t>,
    name: &Spanned<DeString<'t>>,
    wrong: &Range<usize>,
) -> Option<Out> {
    let value = file.get_mut(name)?;
    let span = value.span();
    if let DeValue::Array(tables) = value.get_mut() {
        let place = tables.iter().position(|it| is_within(wrong, &it.span()));
        if let Some(place) = place {
            let at = tables.get(place)?.span().start;
            let others = tables.iter().enumerate().filter(|(it, _)| *it != place);
            *tables = others.map(|(_, table)| table.clone()).collect();
            return Some(Out::Table { at });
        }
    }
    let is_it = is_within(wrong, &span) || is_within(wrong, &name.span());
    is_it.then(|| {
        file.remove(name);
        Out::Table { at: span.start }
    })
}

/// Takes a key out of a table, or out of one within it.
fn take_key_out(table: &mut DeTable<'_>, wrong: &Range<usize>) -> Option<String> {
    let inner = table
        .iter_mut()
        .find_map(|(_, value)| match value.get_mut() {
            DeValue::Table(inner) => take_key_out(inner, wrong),
            _ => None,
        });
    if inner.is_some() {
        return inner;
    }
    let is_it =
        |key: &Range<usize>, value: &Range<usize>| is_within(wrong, key) || is_within(wrong, value);
    let key = table
        .iter()
        .find(|(key, value)| is_it(&key.span(), &value.span()));
    let key = key.map(|(key, _)| key.clone())?;
    table.remove(&key).map(|_| key.get_ref().to_string())
}

const fn is_within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
