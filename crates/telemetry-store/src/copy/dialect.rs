//! Makes the statements that read and write rows as JSON, for each backend from the same description.

use crate::copy::table::{ColumnType, Layout, Table};

/// How a backend spells things.
pub(crate) struct Dialect {
    pub(crate) layout: fn(&Table) -> &Layout,
    /// A table's name, with its schema.
    pub(crate) table: fn(&Table) -> String,
    /// The function that makes a JSON array.
    pub(crate) array: &'static str,
    /// Makes an expression one that JSON can hold.
    pub(crate) read: fn(&str, ColumnType) -> String,
    /// Takes it out of the array `value` again.
    pub(crate) write: fn(usize, ColumnType) -> String,
    /// The rows of the JSON array that is bound, each as `value`.
    pub(crate) rows: &'static str,
    /// The id of the listener or job that a row is about, by kind, app, instance, name and topic.
    pub(crate) about: fn([&str; 5]) -> String,
}

impl Dialect {
    /// Reads all rows of a table, as arrays of their columns.
    pub(crate) fn select(&self, table: &Table) -> String {
        let layout = (self.layout)(table);
        let columns = table.columns.iter().map(|(name, sort)| {
            let of = if layout.of_parent.contains(name) {
                "p"
            } else {
                "t"
            };
            (self.read)(&format!("{of}.{name}"), *sort)
        });
        let columns: Vec<String> = columns.collect();
        format!(
            "SELECT {}({}) AS line FROM {}",
            self.array,
            columns.join(", "),
            layout.from
        )
    }

    /// Writes rows into a table.
    pub(crate) fn insert(&self, table: &Table) -> String {
        let layout = (self.layout)(table);
        let own = table.columns.iter().enumerate();
        let own = own.filter(|(_, (name, _))| !layout.of_parent.contains(name));
        let own = own.map(|(at, (name, sort))| ((*name).to_owned(), (self.write)(at, *sort)));
        let also = layout.also.iter();
        let also = also.map(|(name, what)| ((*name).to_owned(), self.filled(table, what)));
        let (names, values): (Vec<String>, Vec<String>) = own.chain(also).unzip();
        format!(
            "INTO {} ({}) SELECT {} FROM {}",
            (self.table)(table),
            names.join(", "),
            values.join(", "),
            self.rows
        )
    }

    /// The kind, app, instance, name and topic that rows are about, as expressions.
    pub(crate) fn subject(&self, table: &Table) -> Option<[String; 5]> {
        let [kind, topic] = table.about?;
        let parts = [kind, "{app_key}", "{instance}", "{name}", topic];
        Some(parts.map(|part| self.with_values(table, part)))
    }

    fn filled(&self, table: &Table, what: &str) -> String {
        match (what, self.subject(table)) {
            ("{about}", Some(subject)) => (self.about)(subject.each_ref().map(String::as_str)),
            _ => self.with_values(table, what),
        }
    }

    /// Puts the values of columns in the places of their names.
    fn with_values(&self, table: &Table, what: &str) -> String {
        let columns = table.columns.iter().enumerate();
        columns.fold(what.to_owned(), |text, (at, (name, sort))| {
            text.replace(&format!("{{{name}}}"), &(self.write)(at, *sort))
        })
    }
}
