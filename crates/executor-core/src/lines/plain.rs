//! Makes one line out of anything: cuts what is too long, and removes what would control a terminal.

use std::borrow::Cow;

use super::LINE_MAX_BYTES;

/// Cuts a long line in the middle, between characters.
pub(super) fn cut(line: &str) -> Cow<'_, str> {
    if line.len() <= LINE_MAX_BYTES {
        return Cow::Borrowed(line);
    }
    let half = LINE_MAX_BYTES / 2 - 32;
    let is_boundary = |at: &usize| line.is_char_boundary(*at);
    let head = (0..=half).rev().find(is_boundary).unwrap_or(0);
    let tail = (line.len() - half..).find(is_boundary);
    let tail = tail.unwrap_or(line.len());
    let left_out = tail - head;
    Cow::Owned(format!(
        "{}…({left_out} bytes left out)…{}",
        &line[..head],
        &line[tail..]
    ))
}

/// Removes escape sequences and control characters.
pub(super) fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => skip_escape(&mut rest),
            '\t' => plain.push('\t'),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
}

/// The longest target that is kept, in bytes. Paths of modules are shorter.
const TARGET_MAX_BYTES: usize = 256;

/// Returns a target as it can stand in brackets: one word, and not a long one.
pub(super) fn target_word(target: &str) -> String {
    let is_boundary = |at: &usize| target.is_char_boundary(*at);
    let end = (0..=target.len().min(TARGET_MAX_BYTES))
        .rev()
        .find(is_boundary);
    let of_word = |char: char| match char {
        ' ' | ']' => '_',
        char if char.is_control() => '_',
        char => char,
    };
    target[..end.unwrap_or(0)].chars().map(of_word).collect()
}

/// Skips what follows an escape character: a sequence that ends with a letter, or a command up to a bell or a string
/// terminator.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => while rest.next().is_some_and(|char| !('@'..='~').contains(&char)) {},
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(char) = rest.next() {
                if char == '\u{7}' {
                    break;
                }
                if char == '\u{1b}' {
                    rest.next();
                    break;
                }
            }
        }
        // A sequence of two more, such as one that selects a character set.
        Some(' '..='/') => drop(rest.next()),
        _ => {}
    }
}
