//! Reads a line of JSON once, from front to back, for the few values at the given pointers. It decodes nothing else,
//! so it accepts everything that the grammar allows: numbers beyond any type, any depth, lone surrogates.

use std::borrow::Cow;

/// A JSON pointer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// Parses a pointer. Returns `None` unless it begins with a slash, because the whole line cannot be a topic.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tokens = text.strip_prefix('/')?.split('/');
        Some(Self {
            text: text.to_owned(),
            tokens: tokens
                .map(|token| token.replace("~1", "/").replace("~0", "~"))
                .collect(),
        })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The value at a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'l> {
    Text(Cow<'l, str>),
    /// As it was written.
    Number(&'l str),
    /// `true`, `false` or `null`.
    Word(&'static str),
    /// An object or an array.
    Container,
}

/// The reason why a line is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotJson {
    /// The byte of the line, from 1.
    pub(crate) column: usize,
    pub(crate) what: &'static str,
}

/// Returns the value at each pointer; the last of members with the same name counts.
pub(crate) fn find<'l>(
    line: &'l [u8],
    pointers: &[&Pointer],
) -> Result<Vec<Option<Scalar<'l>>>, NotJson> {
    let text = str::from_utf8(line).map_err(|error| NotJson {
        column: error.valid_up_to() + 1,
        what: "UTF-8",
    })?;
    let depths = pointers.iter().map(|pointer| pointer.tokens.len());
    let deepest = depths.max().unwrap_or(0);
    let mut scan = Scan {
        text,
        at: 0,
        inside: Vec::new(),
        places: vec![0; deepest],
        asked: pointers.iter().map(|pointer| Asked::on(pointer)).collect(),
    };
    scan.whole()?;
    Ok(scan.asked.into_iter().map(|asked| asked.found).collect())
}

/// One pointer on its way.
struct Asked<'p, 'l> {
    tokens: &'p [String],
    /// The number of its tokens that match the path to the place of the scan.
    matched: usize,
    found: Option<Scalar<'l>>,
}

/// A container around the place of the scan. One byte per level, because a line may have as many levels as bytes.
#[derive(Clone, Copy)]
enum Inside {
    Object,
    Array,
}

struct Scan<'p, 'l> {
    text: &'l str,
    at: usize,
    /// On the heap: the depth is the sender's to choose.
    inside: Vec<Inside>,
    /// The element of each array, down to where any pointer leads.
    places: Vec<usize>,
    asked: Vec<Asked<'p, 'l>>,
}

impl<'l> Scan<'_, 'l> {
    fn whole(&mut self) -> Result<(), NotJson> {
        while self.value()? || self.next()? {}
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.not_json("nothing after the value")),
        }
    }

    /// Moves on from a value that has ended to the next one, leaving every container that ends with it. Returns
    /// `false` after the last one.
    fn next(&mut self) -> Result<bool, NotJson> {
        while let Some(&inside) = self.inside.last() {
            self.leave();
            match (self.peek(), inside) {
                (Some(b','), _) => {
                    self.at += 1;
                    self.go_on(inside, |place| place + 1)?;
                    return Ok(true);
                }
                (Some(b'}'), Inside::Object) | (Some(b']'), Inside::Array) => self.close(),
                _ => return Err(self.unexpected("a comma or a closing bracket")),
            }
        }
        Ok(false)
    }

    /// To the value of the next member, or to the element.
    fn go_on(&mut self, inside: Inside, place: impl Fn(usize) -> usize) -> Result<(), NotJson> {
        match inside {
            Inside::Object => self.member()?,
            Inside::Array => self.element(place),
        }
        Ok(())
    }

    /// Reads a value. Returns `true` if the value has only begun and another one follows inside it.
    fn value(&mut self) -> Result<bool, NotJson> {
        match self.peek() {
            Some(b'{') => return self.open(Inside::Object, b'}'),
            Some(b'[') => return self.open(Inside::Array, b']'),
            Some(b'"') => {
                let wanted = self.is_wanted();
                let raw = self.string()?;
                if wanted {
                    self.found(&Scalar::Text(decoded(raw)));
                }
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                self.found(&Scalar::Number(number));
            }
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => return Err(self.unexpected("a value")),
        }
        Ok(false)
    }

    fn open(&mut self, inside: Inside, end: u8) -> Result<bool, NotJson> {
        self.found(&Scalar::Container);
        self.at += 1;
        self.inside.push(inside);
        if self.peek() == Some(end) {
            self.close();
            return Ok(false);
        }
        self.go_on(inside, |_| 0)?;
        Ok(true)
    }

    fn close(&mut self) {
        self.at += 1;
        self.inside.pop();
    }

    fn member(&mut self) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in quotes"));
        }
        let raw = self.string()?;
        let depth = self.inside.len();
        let is_asked = |asked: &Asked<'_, '_>| asked.leads_on_from(depth);
        if self.asked.iter().any(is_asked) {
            self.enter(&decoded(raw));
        }
        if self.peek() != Some(b':') {
            return Err(self.unexpected("a colon"));
        }
        self.at += 1;
        Ok(())
    }

    fn element(&mut self, place: impl Fn(usize) -> usize) {
        let depth = self.inside.len();
        let Some(at) = self.places.get_mut(depth - 1) else {
            return;
        };
        *at = place(*at);
        let place = *at;
        let is_asked = |asked: &Asked<'_, '_>| asked.leads_on_from(depth);
        if self.asked.iter().any(is_asked) {
            self.enter(&place.to_string());
        }
    }

    /// Goes along with the pointers that name this member or element.
    fn enter(&mut self, name: &str) {
        let depth = self.inside.len();
        for asked in &mut self.asked {
            if asked.leads_on_from(depth) && asked.tokens[depth - 1] == name {
                asked.matched = depth;
                // One of the same name came before it.
                asked.found = None;
            }
        }
    }

    /// The member or element has ended.
    fn leave(&mut self) {
        let depth = self.inside.len();
        for asked in &mut self.asked {
            asked.matched = asked.matched.min(depth - 1);
        }
    }

    fn is_wanted(&self) -> bool {
        let depth = self.inside.len();
        self.asked.iter().any(|asked| asked.is_at(depth))
    }

    fn found(&mut self, found: &Scalar<'l>) {
        let depth = self.inside.len();
        for asked in &mut self.asked {
            if asked.is_at(depth) {
                asked.found = Some(found.clone());
            }
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), NotJson> {
        for expected in word.bytes() {
            if self.byte() != Some(expected) {
                return Err(self.unexpected("true, false or null"));
            }
            self.at += 1;
        }
        self.found(&Scalar::Word(word));
        Ok(())
    }

    fn number(&mut self) -> Result<&'l str, NotJson> {
        let begin = self.at;
        self.skip(b"-");
        if !self.skip(b"0") {
            self.digits()?;
        }
        if self.skip(b".") {
            self.digits()?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            self.digits()?;
        }
        Ok(&self.text[begin..self.at])
    }

    fn skip(&mut self, any_of: &[u8]) -> bool {
        let is_there = self.byte().is_some_and(|byte| any_of.contains(&byte));
        self.at += usize::from(is_there);
        is_there
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        if !self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected("a digit"));
        }
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    /// Returns the raw text between the quotes, escapes included.
    fn string(&mut self) -> Result<&'l str, NotJson> {
        self.at += 1;
        let begin = self.at;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.not_json("an escape instead of a control character")),
                None => return Err(self.not_json("a closing quote")),
            }
        }
        self.at += 1;
        Ok(&self.text[begin..self.at - 1])
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.byte().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.unexpected("four hexadecimal digits after \\u"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected("a valid JSON escape")),
        }
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.byte()
    }

    const fn not_json(&self, what: &'static str) -> NotJson {
        NotJson {
            column: self.at + 1,
            what,
        }
    }

    fn unexpected(&self, wanted: &'static str) -> NotJson {
        self.not_json(if self.byte().is_some() {
            wanted
        } else {
            "more of the line; it ends too early"
        })
    }
}

impl<'p> Asked<'p, '_> {
    const fn on(pointer: &'p Pointer) -> Self {
        Self {
            tokens: pointer.tokens.as_slice(),
            matched: 0,
            found: None,
        }
    }

    /// Returns whether the pointer leads to the value at this depth.
    const fn is_at(&self, depth: usize) -> bool {
        self.matched == depth && self.tokens.len() == depth
    }

    /// Returns whether the pointer leads into the object or array at level `depth`.
    const fn leads_on_from(&self, depth: usize) -> bool {
        self.matched == depth - 1 && self.tokens.len() >= depth
    }
}

/// Decodes the text, with U+FFFD for a lone surrogate.
fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let (mut units, mut rest) = (Vec::new(), raw.chars());
    while let Some(c) = rest.next() {
        let unit = match (c, rest.as_str().chars().next()) {
            ('\\', Some('u')) => {
                let hex = &rest.as_str()[1..5];
                rest.nth(4);
                u16::from_str_radix(hex, 16).unwrap_or(0xFFFD)
            }
            ('\\', Some(letter)) => {
                rest.next();
                escaped(letter)
            }
            (c, _) => {
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                continue;
            }
        };
        units.push(unit);
    }
    Cow::Owned(String::from_utf16_lossy(&units))
}

const fn escaped(letter: char) -> u16 {
    match letter {
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        other => other as u16,
    }
}

#[cfg(test)]
mod tests;
