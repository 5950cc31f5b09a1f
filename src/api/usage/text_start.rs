//! Keeps the first bytes of an answer's text as it passes, for a judge that grades it.
//!
//! Strings come without their escapes. [`super::content_check`] undoes these, and says which strings are the answer's text.

use crate::api::held_text::HeldText;
use crate::api::json::unescape::Unescaped;

/// The first bytes of an answer's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextStart {
    held: HeldText,
    /// The first half of a character that is written as two escapes.
    high: Option<u32>,
}

impl TextStart {
    /// At most so many bytes.
    pub(super) const fn new(most: usize) -> TextStart {
        TextStart {
            held: HeldText::new(most),
            high: None,
        }
    }

    /// Takes the next part of a string.
    pub(super) fn take(&mut self, part: Unescaped<'_>) {
        match part {
            Unescaped::Plain(bytes) => {
                self.end_pair();
                self.held.push(bytes);
            }
            Unescaped::Unit(unit) => self.unit(unit),
        }
    }

    /// A string ends.
    pub(super) fn end(&mut self) {
        self.end_pair();
    }

    /// Takes a unit of UTF-16.
    fn unit(&mut self, unit: u32) {
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..0xe000) => {
                self.push(0x1_0000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
            }
            (high, unit) => {
                self.high = high;
                self.end_pair();
                match unit {
                    0xd800..0xdc00 => self.high = Some(unit),
                    _ => self.push(unit),
                }
            }
        }
    }

    /// The first half of a character whose second half does not come is no character.
    fn end_pair(&mut self) {
        if self.high.take().is_some() {
            self.push(u32::from(char::REPLACEMENT_CHARACTER));
        }
    }

    fn push(&mut self, code: u32) {
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.held
            .push(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// The text so far.
    pub(super) fn into_held(self) -> HeldText {
        // A destructor keeps fields from being moved out; this type has none.
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::unescape::Unescape;

    /// The text of a JSON string that comes in pieces of so many bytes.
    fn read(written: &str, size: usize, most: usize) -> (String, bool) {
        let mut start = TextStart::new(most);
        let mut unescape = Unescape::default();
        for mut piece in written.as_bytes().chunks(size) {
            while let Some(part) = unescape.next(&mut piece) {
                start.take(part);
            }
        }
        start.end();
        let held = start.into_held();
        (held.text().into_owned(), held.is_cut())
    }

    #[test]
    fn escapes_are_undone_wherever_a_string_is_cut() {
        let written = r#"a\"b\\c\/\n\té€😀\u00e9\u20AC\ud83d\ude00z"#;
        for size in 1..written.len() {
            let (text, is_cut) = read(written, size, 100);
            assert_eq!((text.as_str(), is_cut), ("a\"b\\c/\n\té€😀é€😀z", false));
        }
    }

    #[test]
    fn halves_of_characters_are_replaced() {
        let lone = char::REPLACEMENT_CHARACTER;
        for (written, wanted) in [
            (r"\ud83d", format!("{lone}")),
            (r"\ud83dx", format!("{lone}x")),
            (r"\ud83d\n", format!("{lone}\n")),
            (r"\ude00\ud83d\ud83d\ude00", format!("{lone}{lone}😀")),
            (r"\ud83dA", format!("{lone}A")),
        ] {
            assert_eq!(read(written, 1, 100).0, wanted, "{written}");
        }
    }

    #[test]
    fn only_the_start_is_kept() {
        let written = "é".repeat(5000);
        let (text, is_cut) = read(&written, 7, 8191);
        assert_eq!((text.len(), is_cut), (8190, true));
        assert!(text.chars().all(|character| character == 'é'));
    }
}
