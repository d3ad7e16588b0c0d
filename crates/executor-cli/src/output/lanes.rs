//! Draws what happened over a time: pieces on lanes of characters.

use std::ops::Range;

use command_executor::Timestamp;

/// The time that a drawing covers, and its width in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) width: usize,
}

/// A stretch of time, drawn with one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) mark: char,
    /// It is seen wherever it shares a character with others.
    pub(crate) is_loud: bool,
}

impl Scale {
    /// The characters that a stretch takes: at least one, if it touches the time at all.
    fn place(&self, piece: &Piece) -> Option<Range<usize>> {
        if piece.to < self.from || piece.from > self.to || self.width == 0 {
            return None;
        }
        let at = |at: Timestamp| {
            let whole = i128::from(self.to.as_micros()) - i128::from(self.from.as_micros());
            let since = i128::from(at.as_micros()) - i128::from(self.from.as_micros());
            let place = since.clamp(0, whole) * self.width as i128 / whole.max(1);
            usize::try_from(place).unwrap_or(0)
        };
        let first = at(piece.from).min(self.width - 1);
        Some(first..at(piece.to).clamp(first + 1, self.width))
    }

    /// Draws pieces, which begin in order, on as few lanes as they need: those that overlap are on different ones.
    /// Beyond `most` lanes they are drawn over each other.
    pub(crate) fn lanes(&self, pieces: &[Piece], most: usize) -> Vec<String> {
        let mut lanes: Vec<(Timestamp, Vec<Piece>)> = Vec::new();
        for piece in pieces.iter().filter(|piece| self.place(piece).is_some()) {
            let free = lanes.iter().position(|(until, _)| *until <= piece.from);
            let at = free.unwrap_or_else(|| {
                if lanes.len() < most.max(1) {
                    lanes.push((piece.from, Vec::new()));
                }
                lanes.len() - 1
            });
            let (until, on_it) = &mut lanes[at];
            *until = piece.to.max(*until);
            on_it.push(*piece);
        }
        lanes.iter().map(|(_, pieces)| self.line(pieces)).collect()
    }

    fn line(&self, pieces: &[Piece]) -> String {
        let mut line = vec![' '; self.width];
        let (loud, quiet): (Vec<&Piece>, Vec<&Piece>) = pieces.iter().partition(|it| it.is_loud);
        for piece in quiet.into_iter().chain(loud) {
            if let Some(place) = self.place(piece) {
                line[place].fill(piece.mark);
            }
        }
        line.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
