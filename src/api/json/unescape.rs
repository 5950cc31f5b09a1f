//! Undoes the escapes of JSON strings that come in pieces, cut anywhere.
//!
//! [`super::Cursor`] needs the whole string. This keeps nothing but the escape that the last piece was cut in, and is lenient: a
//! backslash that begins no escape is left out, and a digit that is none counts as 0.

use super::simple_escape;

/// The position in the escapes of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::api) enum Unescape {
    /// In none.
    #[default]
    Plain,
    /// After a backslash.
    Backslash,
    /// In the digits of `\u`: how many are missing, and their value so far.
    Hex(u8, u32),
}

/// A part of a string without its escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Unescaped<'a> {
    /// Bytes that stand for themselves; never empty.
    Plain(&'a [u8]),
    /// An escape: a unit of UTF-16.
    Unit(u32),
}

impl Unescape {
    /// Takes the next part off the front of a piece; `None` once the piece is used up.
    pub(in crate::api) fn next<'a>(&mut self, piece: &mut &'a [u8]) -> Option<Unescaped<'a>> {
        loop {
            let (first, behind) = piece.split_first()?;
            match *self {
                Unescape::Plain if *first == b'\\' => *self = Unescape::Backslash,
                Unescape::Plain => {
                    let end = piece.iter().position(|byte| *byte == b'\\');
                    let (plain, behind) = piece.split_at(end.unwrap_or(piece.len()));
                    *piece = behind;
                    return Some(Unescaped::Plain(plain));
                }
                Unescape::Backslash if *first == b'u' => *self = Unescape::Hex(4, 0),
                Unescape::Backslash => {
                    *self = Unescape::Plain;
                    let Some(character) = simple_escape(*first) else {
                        continue;
                    };
                    *piece = behind;
                    return Some(Unescaped::Unit(u32::from(character)));
                }
                Unescape::Hex(missing, value) => {
                    let value = value << 4 | char::from(*first).to_digit(16).unwrap_or(0);
                    if missing == 1 {
                        *self = Unescape::Plain;
                        *piece = behind;
                        return Some(Unescaped::Unit(value));
                    }
                    *self = Unescape::Hex(missing - 1, value);
                }
            }
            *piece = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain bytes as units, each piece of so many bytes.
    fn units(written: &[u8], size: usize) -> Vec<u32> {
        let mut unescape = Unescape::default();
        let mut units = Vec::new();
        for mut piece in written.chunks(size) {
            while let Some(part) = unescape.next(&mut piece) {
                match part {
                    Unescaped::Plain(bytes) => units.extend(bytes.iter().copied().map(u32::from)),
                    Unescaped::Unit(unit) => units.push(unit),
                }
            }
        }
        units
    }

    #[test]
    fn escapes_are_undone_wherever_a_string_is_cut() {
        let written = br#"ab\"\\\/\b\f\n\r\tc\u00e9\uD83d\ude00"#;
        let mut wanted = "ab\"\\/\u{8}\u{c}\n\r\tc\u{e9}"
            .chars()
            .map(u32::from)
            .collect::<Vec<_>>();
        wanted.extend([0xd83d, 0xde00]);
        for size in 1..=written.len() {
            assert_eq!(units(written, size), wanted, "{size}");
        }
    }

    #[test]
    fn broken_escapes_are_passed_over() {
        for size in 1..8 {
            assert_eq!(units(b"a\\xb\\", size), [0x61, 0x78, 0x62]);
            assert_eq!(units(b"\\u0g41\\u12", size), [0x41]);
        }
    }
}
