//! Keeps the first bytes of an answer's text as it passes, for a judge that grades it.
//!
//! Reads JSON strings as they are written, cut anywhere, and undoes their escapes. [`super::content_check`] says which strings are
//! the answer's text.

use crate::api::held_text::HeldText;

/// The first bytes of an answer's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextStart {
    held: HeldText,
    escape: Escape,
    /// The first half of a character that is written as two escapes.
    high: Option<u32>,
}

/// Position in the escapes of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    /// In the digits of `\u`: how many are missing, and their value so far.
    Hex(u8, u32),
}

impl TextStart {
    /// At most so many bytes.
    pub(super) const fn new(most: usize) -> TextStart {
        TextStart {
            held: HeldText::new(most),
            escape: Escape::None,
            high: None,
        }
    }

    /// Reads the next bytes of a string as it is written; `ends` with its last ones.
    pub(super) fn feed(&mut self, bytes: &[u8], ends: bool) {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            if self.escape == Escape::None && *first != b'\\' {
                let plain = rest.iter().position(|byte| *byte == b'\\');
                let (plain, behind) = rest.split_at(plain.unwrap_or(rest.len()));
                self.end_pair();
                self.held.push(plain);
                rest = behind;
                continue;
            }
            self.escaped(*first);
            rest = behind;
        }
        if ends {
            self.end_pair();
            self.escape = Escape::None;
        }
    }

    fn escaped(&mut self, byte: u8) {
        self.escape = match self.escape {
            Escape::None => Escape::Backslash,
            Escape::Backslash if byte == b'u' => Escape::Hex(4, 0),
            Escape::Backslash => {
                self.end_pair();
                self.held.push(&[match byte {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                }]);
                Escape::None
            }
            Escape::Hex(left, value) => {
                let value = value << 4 | char::from(byte).to_digit(16).unwrap_or(0);
                if left > 1 {
                    Escape::Hex(left - 1, value)
                } else {
                    self.unit(value);
                    Escape::None
                }
            }
        };
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

    /// The text of a JSON string that comes in pieces of so many bytes.
    fn read(written: &str, size: usize, most: usize) -> (String, bool) {
        let mut start = TextStart::new(most);
        let bytes = written.as_bytes();
        bytes
            .chunks(size)
            .for_each(|piece| start.feed(piece, false));
        start.feed(b"", true);
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
