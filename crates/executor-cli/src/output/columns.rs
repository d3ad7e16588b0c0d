//! Lines of aligned columns, as wide as they need to be; the last one takes what is left of the terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, Table};
use command_executor::Status;

use crate::output::colors::{self, ColorWhen};

/// The width that the last column should have at least, and the one that it has whatever else is there.
const LAST_MIN: usize = 12;
const LAST_LEAST: usize = 6;

/// A table without lines. Cells that stand for a number are aligned to the right.
pub(crate) struct Columns {
    table: Table,
    header: Vec<&'static str>,
    /// Columns that a narrow terminal does without, the one to go first last.
    dispensable: Vec<&'static str>,
    rows: Vec<Vec<Text>>,
}

/// The width of what a line may be: of the terminal, or what is usual where there is none.
pub(crate) fn width() -> usize {
    Table::new().width().map_or(100, usize::from)
}

/// Breaks lines that are longer than the terminal is wide, between words; where there is none, leaves them whole.
pub(crate) fn wrapped(text: &str) -> String {
    match Table::new().width() {
        Some(width) => text
            .lines()
            .map(|line| wrapped_at(line, usize::from(width)))
            .collect(),
        None => text.to_owned(),
    }
}

fn wrapped_at(line: &str, width: usize) -> String {
    let (mut text, mut at) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if at > 0 && at + length > width {
            text.truncate(text.trim_end().len());
            text.push_str("\n  ");
            at = 2;
        }
        text.push_str(word);
        at += word.chars().count();
    }
    format!("{}\n", text.trim_end())
}

/// One cell.
pub(crate) struct Text {
    pub(crate) text: String,
    is_number: bool,
    color: Option<Color>,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self {
            text,
            is_number: false,
            color: None,
        }
    }
}

impl Text {
    pub(crate) fn number(text: impl Into<String>) -> Self {
        Self {
            is_number: true,
            ..Self::from(text.into())
        }
    }

    /// In red, if it is bad.
    pub(crate) const fn red_if(mut self, is_bad: bool) -> Self {
        if is_bad {
            self.color = Some(Color::Red);
        }
        self
    }

    /// An outcome, in its colour.
    pub(crate) fn status(status: Status) -> Self {
        let color = match status {
            Status::Success => Color::Green,
            Status::Skipped | Status::Cancelled => Color::Yellow,
            _ => Color::Red,
        };
        Self {
            color: Some(color),
            ..Self::from(status.as_str().to_owned())
        }
    }

    fn cell(self, when: ColorWhen) -> Cell {
        let cell = Cell::new(self.text);
        let cell = match self.is_number {
            true => cell.set_alignment(CellAlignment::Right),
            false => cell,
        };
        match self.color.filter(|_| when != ColorWhen::Never) {
            Some(color) => cell.fg(color),
            None => cell,
        }
    }
}

impl Columns {
    pub(crate) fn new(header: impl IntoIterator<Item = &'static str>) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING);
        Self {
            table,
            header: header.into_iter().collect(),
            dispensable: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Names columns that a narrow terminal does without, the first to go last.
    pub(crate) fn dispensable(mut self, titles: impl IntoIterator<Item = &'static str>) -> Self {
        self.dispensable = titles.into_iter().collect();
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Text>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn text(mut self) -> String {
        if let Some(width) = self.table.width() {
            self.fit(usize::from(width));
        }
        self.table.set_header(self.header.iter().map(Cell::new));
        let when = colors::when();
        if when == ColorWhen::Always {
            self.table.enforce_styling();
        }
        for row in self.rows {
            let cells = row.into_iter().map(|text| text.cell(when));
            self.table.add_row(cells.collect::<Vec<_>>());
        }
        let last = self.header.len().saturating_sub(1);
        for (place, column) in self.table.column_iter_mut().enumerate() {
            let right = if place == last { 0 } else { 2 };
            column.set_padding((0, right));
        }
        let text = self.table.to_string();
        let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
        lines.collect()
    }

    /// Makes it fit: leaves out columns that matter less, then cuts the last one, which may be long.
    fn fit(&mut self, width: usize) {
        while self.widths().iter().sum::<usize>() + LAST_MIN > width {
            let Some(title) = self.dispensable.pop() else {
                break;
            };
            self.leave_out(title);
        }
        self.narrow(width);
        let left = width
            .saturating_sub(self.widths().iter().sum())
            .max(LAST_LEAST);
        let last = self.header.len().saturating_sub(1);
        self.cut(last, left);
    }

    /// Whatever is too wide still gives way: the widest first.
    fn narrow(&mut self, width: usize) {
        while self.widths().iter().sum::<usize>() + LAST_MIN > width {
            let widths = self.widths();
            let widest = (0..widths.len()).max_by_key(|place| widths[*place]);
            let Some(widest) = widest.filter(|place| widths[*place] > LAST_MIN) else {
                break;
            };
            let surplus = widths.iter().sum::<usize>() + LAST_MIN - width;
            // The space behind it belongs to it.
            let left = widths[widest].saturating_sub(2 + surplus).max(LAST_MIN - 2);
            self.cut(widest, left);
        }
    }

    fn cut(&mut self, place: usize, width: usize) {
        for row in &mut self.rows {
            let text = &mut row[place].text;
            if text.chars().count() > width {
                *text = text.chars().take(width - 1).chain(['…']).collect();
            }
        }
    }

    /// The widths of all columns but the last, with the space behind them.
    fn widths(&self) -> Vec<usize> {
        let last = self.header.len().saturating_sub(1);
        let width = |place: usize| {
            let cells = self.rows.iter().map(|row| row[place].text.chars().count());
            cells.chain([self.header[place].len()]).max().unwrap_or(0) + 2
        };
        (0..last).map(width).collect()
    }

    fn leave_out(&mut self, title: &str) {
        if let Some(place) = self.header.iter().position(|it| *it == title) {
            self.header.remove(place);
            for row in &mut self.rows {
                row.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
