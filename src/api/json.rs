//! A cursor over JSON text: strict grammar, no recursion, nothing copied but strings with escapes.
//!
//! Reasons against serde_json: a truncated body must still yield everything before the cut, the cut string included, and
//! serde's visitors lose the current value at the first error; the caller needs the spans of values in the body; and each
//! visitor type is instantiated again, which costs code in every Envoy. The tests hold the grammar to serde_json's.
//!
//! The cursor builds no values, knows no API, and checks numbers by their grammar only. Strings that come in pieces are for
//! [`unescape`].

pub(super) mod unescape;

use std::borrow::Cow;

/// How deep objects and arrays may nest, the outermost included; serde_json's own limit. At most 128: the kinds of the
/// open ones are kept in the bits of a `u128`.
pub(super) const MAX_DEPTH: u32 = 128;

/// Minimum length of a number that is read as a text too: it could be that of an account, a card or a telephone.
const LONG_NUMBER: usize = 9;

/// Reason why reading stopped.
#[derive(Debug)]
pub(super) enum ParseError {
    /// The text ended inside the document.
    Cut,
    /// Not JSON at this byte.
    NotJson {
        offset: usize,
        problem: &'static str,
    },
    /// More than [`MAX_DEPTH`] levels at this byte.
    TooDeep { offset: usize },
    /// JSON, but the document, which begins at this byte, is not an object.
    NotAnObject { offset: usize, found: Kind },
}

/// Kind of a value, known from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Kind {
    /// Its name with an article, for error texts.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Bool => "a boolean",
            Kind::Null => "null",
        }
    }
}

/// A position in a JSON text. Methods advance it over the value that they read, and fail with [`ParseError::Cut`] at the end of
/// the text.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// A cursor at the byte `at` of `text`.
    pub(super) fn new(text: &'a str, at: usize) -> Cursor<'a> {
        Cursor { text, at, depth: 0 }
    }

    /// Offset of the current byte.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The text from the byte `start` to the current one.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Whether the text ends here.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Another cursor over the same text, for a second look at the value at `offset`.
    pub(super) fn again_at(&self, offset: usize) -> Cursor<'a> {
        Cursor::new(self.text, offset)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn not_json<T>(&self, problem: &'static str) -> Result<T, ParseError> {
        Err(ParseError::NotJson {
            offset: self.at,
            problem,
        })
    }

    /// Skips white space and returns the byte after it without skipping that.
    pub(super) fn peek(&mut self) -> Result<u8, ParseError> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(byte) => return Ok(byte),
                None => return Err(ParseError::Cut),
            }
        }
    }

    /// Kind of the next value.
    pub(super) fn kind(&mut self) -> Result<Kind, ParseError> {
        match self.peek()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' => Ok(Kind::String),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' | b'f' => Ok(Kind::Bool),
            b'n' => Ok(Kind::Null),
            _ => self.not_json("expected a value"),
        }
    }

    /// Skips the next value if it is `null`; returns whether it was.
    pub(super) fn null(&mut self) -> Result<bool, ParseError> {
        if self.kind()? != Kind::Null {
            return Ok(false);
        }
        self.literal("null")?;
        Ok(true)
    }

    /// Enters the object or array that starts here.
    pub(super) fn enter(&mut self) -> Result<(), ParseError> {
        if self.depth >= MAX_DEPTH {
            return Err(ParseError::TooDeep { offset: self.at });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// The next key of the entered object, skipped with its colon; `None` at the object's end, which is skipped too. `first` is
    /// true for the first call; this method keeps it.
    pub(super) fn next_key(
        &mut self,
        first: &mut bool,
    ) -> Result<Option<Cow<'a, str>>, ParseError> {
        match (self.peek()?, *first) {
            (b'}', _) => {
                self.leave();
                return Ok(None);
            }
            (b',', false) => self.at += 1,
            (_, true) => {}
            _ => return self.not_json("expected `,` or `}`"),
        }
        *first = false;
        if self.peek()? != b'"' {
            return self.not_json("expected a key in double quotes");
        }
        let key = self.string()?;
        self.colon()?;
        Ok(Some(key))
    }

    /// Whether the entered array has another item, which is then the next value; the array's end is skipped. `first` as in
    /// [`Cursor::next_key`].
    pub(super) fn next_item(&mut self, first: &mut bool) -> Result<bool, ParseError> {
        match (self.peek()?, *first) {
            (b']', _) => {
                self.leave();
                return Ok(false);
            }
            (b',', false) => self.at += 1,
            (_, true) => {}
            _ => return self.not_json("expected `,` or `]`"),
        }
        *first = false;
        // After a comma a value must come: `kind` refuses the `]` of a trailing comma.
        self.kind().map(|_| true)
    }

    pub(super) fn colon(&mut self) -> Result<(), ParseError> {
        if self.peek()? != b':' {
            return self.not_json("expected `:`");
        }
        self.at += 1;
        Ok(())
    }

    /// Reads the string that starts here.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        let (text, end) = self.string_so_far();
        end.map(|()| text)
    }

    /// Reads the string that starts here, and whether it is complete: of a truncated string the text is the part before the
    /// cut, without half an escape. An escaped surrogate without its partner becomes U+FFFD.
    pub(super) fn string_so_far(&mut self) -> (Cow<'a, str>, Result<(), ParseError>) {
        self.at += 1;
        let mut run = self.at;
        let mut decoded = String::new();
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            let plain = self.text.get(run..self.at).unwrap_or_default();
            match self.byte() {
                Some(b'\\') => {
                    decoded.push_str(plain);
                    match self.escape() {
                        Ok(character) => decoded.push(character),
                        Err(stop) => return (Cow::Owned(decoded), Err(stop)),
                    }
                    run = self.at;
                }
                found => {
                    let end = match found {
                        Some(b'"') => {
                            self.at += 1;
                            Ok(())
                        }
                        Some(_) => self.not_json("control character in a string"),
                        None => Err(ParseError::Cut),
                    };
                    if decoded.is_empty() {
                        return (Cow::Borrowed(plain), end);
                    }
                    decoded.push_str(plain);
                    return (Cow::Owned(decoded), end);
                }
            }
        }
    }

    /// Reads the escape that starts here.
    fn escape(&mut self) -> Result<char, ParseError> {
        let kind = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 1;
        if let Some(character) = kind.and_then(simple_escape) {
            self.at += 1;
            return Ok(character);
        }
        match kind {
            Some(b'u') => self.unicode_escape(),
            Some(_) => self.not_json("unknown escape in a string"),
            None => Err(ParseError::Cut),
        }
    }

    /// Reads `uXXXX`, and the `\uXXXX` after it if the two are a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, ParseError> {
        self.at += 1;
        let unit = self.hex4()?;
        if let 0xD800..=0xDBFF = unit {
            let after = self.at;
            match self.low_surrogate() {
                Ok(Some(low)) => {
                    let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                    return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Ok(None) => self.at = after,
                Err(stop) => return Err(stop),
            }
        }
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The second half of a surrogate pair, if it stands here.
    fn low_surrogate(&mut self) -> Result<Option<u32>, ParseError> {
        for wanted in *b"\\u" {
            match self.byte() {
                Some(byte) if byte == wanted => self.at += 1,
                Some(_) => return Ok(None),
                None => return Err(ParseError::Cut),
            }
        }
        let unit = self.hex4()?;
        Ok((0xDC00..=0xDFFF).contains(&unit).then_some(unit))
    }

    fn hex4(&mut self) -> Result<u32, ParseError> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(byte) = self.byte() else {
                return Err(ParseError::Cut);
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return self.not_json("expected four hexadecimal digits after `\\u`");
            };
            value = value << 4 | digit;
            self.at += 1;
        }
        Ok(value)
    }

    fn skip_string(&mut self) -> Result<(), ParseError> {
        self.at += 1;
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.escape()?;
                }
                Some(_) => return self.not_json("control character in a string"),
                None => return Err(ParseError::Cut),
            }
        }
    }

    /// Skips a key; returns whether it is `type`.
    fn skip_key(&mut self) -> Result<bool, ParseError> {
        if self.peek()? != b'"' {
            return self.not_json("expected a key in double quotes");
        }
        let start = self.at;
        self.skip_string()?;
        let is_type = self.text.get(start..self.at) == Some("\"type\"");
        self.colon().map(|()| is_type)
    }

    /// Reads the number that starts here, as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, ParseError> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.byte(), Some(b'0'..=b'9')) {
                    return self.not_json("number with a leading zero");
                }
            }
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        // At the end of the text more digits may have followed.
        match self.byte() {
            Some(_) => Ok(self.text.get(start..self.at).unwrap_or_default()),
            None => Err(ParseError::Cut),
        }
    }

    fn digits(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.byte() {
            None => Err(ParseError::Cut),
            Some(_) if self.at == start => self.not_json("expected a digit"),
            Some(_) => Ok(()),
        }
    }

    /// Reads the boolean that starts here.
    pub(super) fn boolean(&mut self) -> Result<bool, ParseError> {
        let value = self.byte() == Some(b't');
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    fn literal(&mut self, word: &str) -> Result<(), ParseError> {
        for wanted in word.bytes() {
            match self.byte() {
                Some(byte) if byte == wanted => self.at += 1,
                Some(_) => return self.not_json("expected a value"),
                None => return Err(ParseError::Cut),
            }
        }
        Ok(())
    }

    /// Skips the next value of any kind and checks its grammar.
    pub(super) fn skip_value(&mut self) -> Result<(), ParseError> {
        self.walk::<false>(&mut Vec::new())
    }

    /// Reads every text in the next value at any depth, without keys and the names of types. Of a truncated text the part before
    /// the cut counts. Numbers of [`LONG_NUMBER`] digits count as texts.
    pub(super) fn texts(&mut self, texts: &mut Vec<Cow<'a, str>>) -> Result<(), ParseError> {
        self.walk::<true>(texts)
    }

    fn walk<const READS: bool>(&mut self, texts: &mut Vec<Cow<'a, str>>) -> Result<(), ParseError> {
        let outside = self.depth;
        // One bit for each object (1) or array (0) that is open, the innermost lowest.
        let mut open: u128 = 0;
        let mut names_type = false;
        loop {
            match self.kind()? {
                Kind::Object => {
                    self.enter()?;
                    open = open << 1 | 1;
                    if self.peek()? != b'}' {
                        names_type = self.skip_key()?;
                        continue;
                    }
                }
                Kind::Array => {
                    self.enter()?;
                    open <<= 1;
                    names_type = false;
                    if self.peek()? != b']' {
                        continue;
                    }
                }
                Kind::String if READS => {
                    let (text, end) = self.string_so_far();
                    if !(names_type && is_type_name(&text)) {
                        texts.push(text);
                    }
                    end?;
                }
                Kind::String => self.skip_string()?,
                Kind::Number => {
                    let number = self.number()?;
                    if READS && number.len() >= LONG_NUMBER {
                        texts.push(Cow::Borrowed(number));
                    }
                }
                Kind::Bool => self.boolean().map(|_| ())?,
                Kind::Null => self.literal("null")?,
            }
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                match (self.peek()?, open & 1) {
                    (b',', kind) => {
                        self.at += 1;
                        names_type = kind == 1 && self.skip_key()?;
                        break;
                    }
                    (b']', 0) | (b'}', 1) => {
                        self.leave();
                        open >>= 1;
                    }
                    (_, 0) => return self.not_json("expected `,` or `]`"),
                    _ => return self.not_json("expected `,` or `}`"),
                }
            }
        }
    }

    /// Checks that nothing but white space follows.
    pub(super) fn end(&mut self) -> Result<(), ParseError> {
        match self.peek() {
            Ok(_) => self.not_json("expected the end of the body"),
            Err(_) => Ok(()),
        }
    }
}

/// Whether a text has the form of a type's name in an API.
fn is_type_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|letter: char| letter.is_ascii_lowercase()) && text.bytes().all(is_plain)
}

/// The character of a two-byte escape, by its second byte.
const fn simple_escape(byte: u8) -> Option<char> {
    Some(match byte {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// End of the run of plain string bytes that starts at `from`: a quote, a backslash, a control character or the end of `bytes`.
pub(crate) fn plain_end(bytes: &[u8], from: usize) -> usize {
    let (blocks, rest) = bytes.get(from..).unwrap_or_default().as_chunks::<16>();
    let mut at = from;
    for block in blocks {
        if let Some(found) = special_in(block) {
            return at + found;
        }
        at += 16;
    }
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + first_special(tail)
}

/// Index of the first byte of sixteen that is not plain. WebAssembly has an instruction for each step.
#[cfg(target_arch = "wasm32")]
fn special_in(block: &[u8; 16]) -> Option<usize> {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};
    let [low, high] = halves(block);
    let bytes = u64x2(low, high);
    let marks = v128_or(
        u8x16_eq(bytes, u8x16_splat(b'"')),
        u8x16_eq(bytes, u8x16_splat(b'\\')),
    );
    let found = u8x16_bitmask(v128_or(marks, u8x16_lt(bytes, u8x16_splat(0x20))));
    (found != 0).then(|| found.trailing_zeros() as usize)
}

/// Index of the first byte of sixteen that is not plain.
#[cfg(not(target_arch = "wasm32"))]
fn special_in(block: &[u8; 16]) -> Option<usize> {
    let [low, high] = halves(block).map(special);
    match (low, high) {
        (0, 0) => None,
        (0, high) => Some(8 + high.trailing_zeros() as usize / 8),
        (low, _) => Some(low.trailing_zeros() as usize / 8),
    }
}

fn halves(block: &[u8; 16]) -> [u64; 2] {
    let block = u128::from_le_bytes(*block);
    [block as u64, (block >> 64) as u64]
}

/// Index of the first byte that is not plain; the length of `bytes` if all are.
fn first_special(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
        .unwrap_or(bytes.len())
}

/// Not zero where one of the eight bytes is a quote, a backslash or a control character ("has a byte less than n" of
/// Anderson's bit twiddling hacks, three times). The lowest bit set is that of the first such byte; bits above it may be
/// false, for a subtraction borrows only upwards.
const fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let found =
        word.wrapping_sub(ONES * 0x20) | quotes.wrapping_sub(ONES) | backslashes.wrapping_sub(ONES);
    found & !word & (ONES << 7)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]
mod tests;
