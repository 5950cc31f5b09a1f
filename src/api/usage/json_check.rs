//! Tells whether a text that comes in pieces is one JSON value (RFC 8259), and which members its object has. Keeps a position and
//! nothing else, so the text may have any length.

use crate::fnv;

/// How deep a value may nest. Deeper than any answer, and as deep as the kinds of the open objects fit into a `u128`.
const MAX_DEPTH: u32 = 128;

/// The most required members that are looked for; others are not.
pub const MAX_REQUIRED: usize = 32;

/// A text that is being read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonCheck {
    state: State,
    depth: u32,
    /// One bit for each open level, the innermost lowest: 1 is an object.
    objects: u128,
    /// Hash of the key that is being read, if it is one of the outermost object.
    key: u32,
    /// A bit for each required member that has come.
    found: u32,
    is_empty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value.
    Value,
    /// After `[`: a value or `]`.
    FirstItem,
    /// After `{`: a key or `}`.
    FirstKey,
    /// After `,` in an object: a key.
    Key,
    /// After a key.
    Colon,
    /// After a value.
    After,
    String(Text),
    /// After a backslash.
    Escape(Text),
    /// In the digits of `\u`; so many are missing.
    Hex(Text, u8),
    Number(Digits),
    /// In `true`, `false` or `null`; these bytes are missing.
    Word(&'static [u8]),
    /// Not JSON.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Key,
    Value,
}

/// Where in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Default for JsonCheck {
    fn default() -> JsonCheck {
        JsonCheck {
            state: State::Value,
            depth: 0,
            objects: 0,
            key: fnv::START32,
            found: 0,
            is_empty: true,
        }
    }
}

impl JsonCheck {
    /// Reads one byte. `required` holds the hashes of the members that the outermost object must have.
    pub(super) fn feed(&mut self, byte: u8, required: &[u32]) {
        self.is_empty = false;
        self.state = match self.state {
            State::Value | State::FirstItem => self.begin(byte),
            State::FirstKey | State::Key => self.key(byte),
            State::Colon => match byte {
                b':' => State::Value,
                byte => space_or_broken(byte, State::Colon),
            },
            State::After => self.after(byte),
            State::String(text) => self.in_string(text, byte, required),
            State::Escape(text) => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                    self.hash(text, byte);
                    State::String(text)
                }
                b'u' => State::Hex(text, 4),
                _ => State::Broken,
            },
            State::Hex(text, left) if byte.is_ascii_hexdigit() => match left {
                1 => State::String(text),
                _ => State::Hex(text, left - 1),
            },
            State::Hex(..) => State::Broken,
            State::Number(digits) => self.in_number(digits, byte),
            State::Word(rest) => match rest.split_first() {
                Some((first, [])) if *first == byte => State::After,
                Some((first, rest)) if *first == byte => State::Word(rest),
                _ => State::Broken,
            },
            State::Broken => State::Broken,
        };
    }

    /// Whether nothing has come.
    pub(super) const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Whether all that has come is one value, and its object has all of `required`.
    pub(super) fn is_whole(&self, required: &[u32]) -> bool {
        let ends = match self.state {
            State::After => true,
            State::Number(digits) => digits.may_end(),
            _ => false,
        };
        let wanted = required
            .iter()
            .take(MAX_REQUIRED)
            .fold(0, |bits, _| bits << 1 | 1);
        ends && self.depth == 0 && self.found & wanted == wanted
    }

    fn begin(&mut self, byte: u8) -> State {
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b']' if self.state == State::FirstItem => self.close(false),
            b'"' => State::String(Text::Value),
            b'-' => State::Number(Digits::Minus),
            b'0' => State::Number(Digits::Zero),
            b'1'..=b'9' => State::Number(Digits::Whole),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            byte => space_or_broken(byte, self.state),
        }
    }

    fn key(&mut self, byte: u8) -> State {
        match byte {
            b'"' => {
                self.key = fnv::START32;
                State::String(Text::Key)
            }
            b'}' if self.state == State::FirstKey => self.close(true),
            byte => space_or_broken(byte, self.state),
        }
    }

    fn after(&mut self, byte: u8) -> State {
        let in_object = self.objects & 1 == 1;
        match byte {
            b',' if self.depth > 0 && in_object => State::Key,
            b',' if self.depth > 0 => State::Value,
            b'}' if in_object => self.close(true),
            b']' if !in_object => self.close(false),
            byte => space_or_broken(byte, State::After),
        }
    }

    fn in_string(&mut self, text: Text, byte: u8, required: &[u32]) -> State {
        match (byte, text) {
            (b'"', Text::Value) => State::After,
            (b'"', Text::Key) => {
                let mut wanted = required.iter().take(MAX_REQUIRED);
                if self.depth == 1
                    && let Some(place) = wanted.position(|hash| *hash == self.key)
                {
                    self.found |= 1 << place;
                }
                State::Colon
            }
            (b'\\', text) => State::Escape(text),
            (..0x20, _) => State::Broken,
            (byte, text) => {
                self.hash(text, byte);
                State::String(text)
            }
        }
    }

    fn hash(&mut self, text: Text, byte: u8) {
        if text == Text::Key {
            self.key = fnv::step32(self.key, u32::from(byte));
        }
    }

    fn in_number(&mut self, digits: Digits, byte: u8) -> State {
        let next = match (digits, byte) {
            (Digits::Minus, b'0') => Digits::Zero,
            (Digits::Minus | Digits::Whole, b'0'..=b'9') => Digits::Whole,
            (Digits::Zero | Digits::Whole, b'.') => Digits::Point,
            (Digits::Point | Digits::Fraction, b'0'..=b'9') => Digits::Fraction,
            (Digits::Zero | Digits::Whole | Digits::Fraction, b'e' | b'E') => Digits::Exponent,
            (Digits::Exponent, b'+' | b'-') => Digits::Sign,
            (Digits::Exponent | Digits::Sign | Digits::Power, b'0'..=b'9') => Digits::Power,
            (digits, byte) if digits.may_end() => return self.after(byte),
            _ => return State::Broken,
        };
        State::Number(next)
    }

    fn open(&mut self, is_object: bool) -> State {
        if self.depth == MAX_DEPTH {
            return State::Broken;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        match is_object {
            true => State::FirstKey,
            false => State::FirstItem,
        }
    }

    fn close(&mut self, is_object: bool) -> State {
        if self.depth == 0 || (self.objects & 1 == 1) != is_object {
            return State::Broken;
        }
        self.depth -= 1;
        self.objects >>= 1;
        State::After
    }
}

impl Digits {
    const fn may_end(self) -> bool {
        matches!(
            self,
            Digits::Zero | Digits::Whole | Digits::Fraction | Digits::Power
        )
    }
}

const fn space_or_broken(byte: u8, state: State) -> State {
    match byte {
        b' ' | b'\n' | b'\r' | b'\t' => state,
        _ => State::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(text: &str, required: &[&str]) -> bool {
        let required: Vec<u32> = required
            .iter()
            .map(|name| fnv::hash32(name.as_bytes()))
            .collect();
        let mut check = JsonCheck::default();
        text.bytes().for_each(|byte| check.feed(byte, &required));
        check.is_whole(&required)
    }

    const TEXTS: &[&str] = &[
        "{}",
        "[]",
        " {\"a\": [1, -2.5e+3, \"x\\n\\u00e4ä\"], \"b\": {\"c\": null, \"d\": true}}\n",
        "0",
        "-0",
        "10",
        "1.5",
        "1e9",
        "1E-9",
        "\"\"",
        "true",
        "false",
        "null",
        "[[[]]]",
        "[{}]",
        "{\"a\":{}}",
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "{]",
        "[}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "{,}",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "+1",
        "--1",
        "tru",
        "truee",
        "nul",
        "NaN",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12\"",
        "\"\t\"",
        "{} {}",
        "1 2",
        "{}x",
        "```json\n{}\n```",
        "Sure! {}",
        "{a: 1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "[1 2]",
        "// x\n{}",
        "{\"a\":1}]",
        "{\"\\u0061\": 1}",
    ];

    #[test]
    fn the_grammar_is_that_of_serde_json() {
        for text in TEXTS {
            let expected = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(is_whole(text, &[]), expected, "{text}");
            for (end, _) in text.char_indices() {
                let cut = text.get(..end).unwrap_or_default();
                let expected = serde_json::from_str::<serde_json::Value>(cut).is_ok();
                assert_eq!(is_whole(cut, &[]), expected, "{cut}");
            }
        }
        let deep = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(is_whole(&deep(128), &[]) && !is_whole(&deep(129), &[]));
    }

    #[test]
    fn required_members_are_those_of_the_outermost_object() {
        let text = r#"{"name": "x", "in": {"age": 1}, "list": [{"sex": 1}], "äpfel": "age"}"#;
        assert!(is_whole(text, &["name", "in", "äpfel"]));
        for missing in ["age", "sex", "nam", "names"] {
            assert!(!is_whole(text, &["name", missing]), "{missing}");
        }
        assert!(!is_whole("[]", &["name"]) && !is_whole("{}", &["name"]));
    }
}
