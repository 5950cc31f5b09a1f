//! Normalises a text for the scan: spellings that look alike to a reader become the same bytes.
//!
//! Decimal digits of every script and full-width letters become ASCII, spaces of every width a space, dashes of every length a
//! hyphen. Invisible characters (zero-width characters, soft hyphens, marks of direction) are removed. Any other character becomes
//! [`FOREIGN`], which ends words.

use std::borrow::Cow;

use crate::analysis::steps::Steps;

/// Byte for a character that is not ASCII and has no meaning to the scan.
pub(super) const FOREIGN: u8 = 0x80;

/// The bytes to scan; borrowed if the text is ASCII.
pub(super) fn normalise<'t>(text: &'t str, steps: &mut impl Steps) -> Cow<'t, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text.as_bytes());
    }
    steps.add(text.len());
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // A run of ASCII is copied at once.
        let ascii = rest.bytes().position(|byte| !byte.is_ascii());
        let (before, after) = rest
            .split_at_checked(ascii.unwrap_or(rest.len()))
            .unwrap_or_default();
        plain.extend_from_slice(before.as_bytes());
        // In text of another script, its blanks and marks do not start a long run of ASCII.
        let mut letters = after.chars();
        let mut in_a_row = 0;
        while in_a_row < SHORT {
            let Some(letter) = letters.next() else { break };
            if letter.is_ascii() {
                in_a_row += 1;
                plain.push(letter as u8);
            } else {
                in_a_row = 0;
                plain.extend(byte_of(letter));
            }
        }
        rest = letters.as_str();
    }
    Cow::Owned(plain)
}

/// Number of ASCII characters in a row that start a long run.
const SHORT: u32 = 16;

/// The byte for a character that is not ASCII; `None` for an invisible one.
pub(super) fn byte_of(letter: char) -> Option<u8> {
    Some(match letter {
        // Letters of common scripts, without a table.
        '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{589}' | '\u{3041}'..='\u{9fff}' => FOREIGN,
        '\u{ac00}'..='\u{d7a3}' => FOREIGN,
        '\u{660}'..='\u{669}' => b'0' + (u32::from(letter) - 0x660) as u8,
        '\u{620}'..='\u{64a}' | '\u{904}'..='\u{939}' | '\u{5d0}'..='\u{5ea}' => FOREIGN,
        '\u{e01}'..='\u{e4e}' => FOREIGN,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            b' '
        }
        '\u{85}' | '\u{2028}' | '\u{2029}' => b'\n',
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' => return None,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => return None,
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e01ef}' => return None,
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{207b}' | '\u{2212}' => b'-',
        '\u{58a}' | '\u{5be}' | '\u{1806}' | '\u{2e3a}' | '\u{2e3b}' | '\u{fe58}' | '\u{fe63}' => {
            b'-'
        }
        // Full width; the digits and the hyphen are among them.
        '\u{ff01}'..='\u{ff5e}' => (u32::from(letter) - 0xfee0) as u8,
        '\u{fe6b}' => b'@',
        '\u{fe62}' => b'+',
        '\u{2024}' | '\u{fe52}' => b'.',
        _ => digit(letter).unwrap_or(FOREIGN),
    })
}

/// Zeros of Unicode's decimal digits (general category Nd, Unicode 16), each followed by the other nine; without ASCII and full
/// width.
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0,
    0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50, 0x11da0,
    0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8, 0x1d7e2,
    0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

fn digit(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    if code < 0x660 {
        return None;
    }
    let after = ZEROS.partition_point(|zero| *zero <= code);
    let near = after.checked_sub(1).and_then(|index| ZEROS.get(index));
    let value = code - near?;
    (value < 10).then(|| b'0' + value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::steps::Uncounted;

    fn plain(text: &str) -> String {
        normalise(text, &mut Uncounted)
            .iter()
            .map(|byte| {
                if *byte == FOREIGN {
                    '?'
                } else {
                    char::from(*byte)
                }
            })
            .collect()
    }

    #[test]
    fn spellings_become_one() {
        for (text, bytes) in [
            ("plain", "plain"),
            ("a\u{a0}b\u{3000}c\u{202f}d", "a b c d"),
            ("4\u{200b}1\u{200d}1\u{feff}1\u{ad}1\u{2060}", "41111"),
            ("\u{202a}+49\u{202c}", "+49"),
            ("１２３－４５＠ａ．ｄｅ", "123-45@a.de"),
            ("٠١٢٣ ۹ ०५ 𝟗𝟬", "0123 9 05 90"),
            ("–—‐‑−", "-----"),
            ("Straße 5 → x", "Stra?e 5 ? x"),
            ("日本語12", "???12"),
            ("é", "?"),
        ] {
            assert_eq!(plain(text), bytes, "{text}");
        }
    }

    #[test]
    fn the_zeros_are_numbers_of_unicode_in_order() {
        assert!(ZEROS.is_sorted());
        for zero in ZEROS {
            for value in 0..10 {
                let letter = char::from_u32(zero + value).map(digit);
                assert_eq!(letter, Some(Some(b'0' + value as u8)), "{zero:x}");
            }
        }
    }
}
