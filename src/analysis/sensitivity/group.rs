//! A group, that is a run of ASCII letters and digits, and the kinds of bytes in it.

/// Kinds of bytes in a group, as bits.
pub(super) const LOWER: u8 = 1;
pub(super) const UPPER: u8 = 1 << 1;
pub(super) const DIGIT: u8 = 1 << 2;

const KINDS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while byte < 128 {
        table[byte as usize] = if byte.is_ascii_lowercase() {
            LOWER
        } else if byte.is_ascii_uppercase() {
            UPPER
        } else if byte.is_ascii_digit() {
            DIGIT
        } else {
            0
        };
        byte += 1;
    }
    table
};

#[inline(always)]
pub(super) fn kind(byte: u8) -> u8 {
    KINDS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// A run of ASCII letters and digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub start: usize,
    pub end: usize,
    pub kinds: u8,
}

impl Group {
    pub fn len(self) -> usize {
        self.end - self.start
    }
}

/// The character of the escape `\uXXXX` at the start of `text`, as JSON inside a text has it.
pub(super) fn escaped(text: &[u8]) -> Option<char> {
    let &[b'\\', b'u', ref digits @ ..] = text.first_chunk::<6>()? else {
        return None;
    };
    let mut code = 0;
    for digit in digits {
        code = code << 4 | char::from(*digit).to_digit(16)?;
    }
    char::from_u32(code)
}
