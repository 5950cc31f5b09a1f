//! Bytes of text eight at once: which of them are ASCII letters, digits and so on.
//!
//! Sets of bytes are their high bits in a `u64`, the first byte's lowest. Plain arithmetic: it works the same natively and in WebAssembly,
//! and words are too short for wider registers to pay.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// Eight bytes in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eight(u64);

impl Eight {
    /// The bytes from `at` on, with zeros for those behind the end.
    pub(super) fn new(bytes: &[u8], at: usize) -> Eight {
        let rest = bytes.get(at..).unwrap_or(&[]);
        match rest.first_chunk() {
            Some(eight) => Eight(u64::from_le_bytes(*eight)),
            None => Eight::last(rest),
        }
    }

    /// Fewer than eight bytes. A text has one such end: in every loop that reads eight, it would be most of the code.
    #[inline(never)]
    fn last(rest: &[u8]) -> Eight {
        let shifted = |all, byte: &u8| (all << 8) | u64::from(*byte);
        Eight(rest.iter().rev().fold(0, shifted))
    }

    /// The bytes that are from `least` to `most`, both ASCII. Bytes are `of` with their high bits clear.
    fn between(of: u64, least: u8, most: u8) -> u64 {
        let from = of + u64::from(0x80 - least) * ONES;
        let beyond = of + u64::from(0x7f - most) * ONES;
        from & !beyond & HIGH
    }

    /// ASCII letters.
    pub(super) fn letters(self) -> u64 {
        Eight::between((self.0 & !HIGH) | (0x20 * ONES), b'a', b'z') & !self.0
    }

    /// ASCII digits.
    pub(super) fn digits(self) -> u64 {
        Eight::between(self.0 & !HIGH, b'0', b'9') & !self.0
    }

    /// Underscores.
    pub(super) fn underscores(self) -> u64 {
        Eight::between(self.0 & !HIGH, b'_', b'_') & !self.0
    }

    /// Of `letters`, the capitals.
    pub(super) fn capitals(self, letters: u64) -> u64 {
        letters & !(self.0 << 2)
    }

    /// The bytes with `letters` in lower case.
    pub(super) fn lower(self, letters: u64) -> u64 {
        self.0 | (letters >> 2)
    }
}

/// How many bytes from the first on are in `set`, and a mask of these bytes.
pub(super) fn run(set: u64) -> (usize, u64) {
    // The lowest bit of every byte that is not.
    let others = (!set & HIGH) >> 7;
    let own = (others & others.wrapping_neg()).wrapping_sub(1);
    ((others.trailing_zeros() / 8) as usize, own)
}

/// Whether the byte at `index` is in `set`.
pub(super) fn has(set: u64, index: usize) -> bool {
    (set >> (index * 8 + 7)) & 1 == 1
}

/// Each byte of `set` moved to the one behind it, with `first` in front.
pub(super) fn behind(set: u64, first: bool) -> u64 {
    (set << 8) | (u64::from(first) << 7)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_those_of_the_standard_library() {
        for byte in 0..=u8::MAX {
            for index in 0..8 {
                for around in [0, b'a', b'Z', b'9', b'_', 0x7f, 0x80, 0xff] {
                    let mut bytes = [around; 8];
                    *bytes.get_mut(index).unwrap() = byte;
                    let eight = Eight::new(&bytes, 0);
                    let letters = eight.letters();
                    let found = |set| has(set, index);
                    assert_eq!(found(letters), byte.is_ascii_alphabetic(), "{byte}");
                    assert_eq!(found(eight.digits()), byte.is_ascii_digit(), "{byte}");
                    assert_eq!(found(eight.underscores()), byte == b'_', "{byte}");
                    assert_eq!(
                        found(eight.capitals(letters)),
                        byte.is_ascii_uppercase(),
                        "{byte}"
                    );
                    let lower = eight.lower(letters).to_le_bytes();
                    assert_eq!(lower.get(index), Some(&byte.to_ascii_lowercase()));
                    assert_eq!((letters | eight.digits()) & !HIGH, 0);
                }
            }
        }
    }

    #[test]
    fn runs_end_with_the_text_or_the_set() {
        let of = |text: &str, at| run(Eight::new(text.as_bytes(), at).letters()).0;
        assert_eq!(of("", 0), 0);
        assert_eq!(of("abc", 0), 3);
        assert_eq!(of("abc", 7), 0);
        assert_eq!(of("abcdefgh", 0), 8);
        assert_eq!(of("abcdefgh", 5), 3);
        assert_eq!(of("ab1defgh", 0), 2);
        assert_eq!(run(0), (0, 0));
        assert_eq!(run(HIGH), (8, !0));
        assert_eq!(run(HIGH >> 8), (7, !0 >> 8));
        assert_eq!(behind(0x80 << 8, true), (0x80 << 16) | 0x80);
    }
}
