//! Estimates how many tokens a text has, by counting bytes of four kinds. Whole bodies are counted, so it is done sixteen at a time.

/// Bytes counted at once, each in a lane of its own.
const BLOCK: usize = 16;

/// Blocks after which the lanes are added up, few enough that none overflows. Other scripts are counted where such a chunk has any.
const CHUNK: usize = 64;

/// Estimated number of tokens of a text for a recent model's tokenizer (byte pairs, 100,000 to 200,000 entries).
pub(crate) fn text_tokens(text: &str) -> f32 {
    let mut counts = Counts::default();
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    for blocks in blocks.chunks(CHUNK) {
        counts.add(blocks);
    }
    // Zeros are neither marks nor beyond ASCII.
    let mut last = [0; BLOCK];
    for (slot, byte) in last.iter_mut().zip(rest) {
        *slot = *byte;
    }
    counts.add(&[last]);
    let Counts {
        marks,
        two_byte,
        wide,
        beyond,
    } = counts;
    // The rest of ASCII are letters, spaces and controls.
    let letters = (text.len() as u32).saturating_sub(beyond + marks);
    // English prose: 4.4 letters and spaces a token; digits come in threes, marks alone or in pairs; a Cyrillic or Greek token
    // is two or three letters, a Chinese or Japanese one a character or two.
    letters as f32 / 4.4 + marks as f32 / 1.8 + two_byte as f32 / 2.2 + wide as f32 / 1.3
}

/// Numbers of bytes by kind.
#[derive(Default)]
struct Counts {
    /// Digits and punctuation of ASCII.
    marks: u32,
    /// First bytes of characters of two bytes.
    two_byte: u32,
    /// First bytes of characters of three or four.
    wide: u32,
    /// All bytes beyond ASCII.
    beyond: u32,
}

impl Counts {
    /// Adds the bytes of at most 255 blocks. Other scripts are counted only if there are any.
    fn add(&mut self, blocks: &[[u8; BLOCK]]) {
        let (mut marks, mut bits) = ([0_u8; BLOCK], [0_u8; BLOCK]);
        for block in blocks {
            count_marks(block, &mut marks, &mut bits);
        }
        self.marks += sum(&marks);
        if bits.iter().all(|bits| *bits < 0x80) {
            return;
        }
        let [mut plain, mut wide, mut two_byte] = [[0_u8; BLOCK]; 3];
        for block in blocks {
            count_firsts(block, &mut plain, &mut wide, &mut two_byte);
        }
        let all = (blocks.len() * BLOCK) as u32;
        let [plain, wide, two_byte] = [plain, wide, two_byte].map(|lanes| sum(&lanes));
        self.beyond += all - plain;
        self.wide += wide - plain;
        self.two_byte += two_byte - wide;
    }
}

fn sum(lanes: &[u8; BLOCK]) -> u32 {
    lanes.iter().map(|lane| u32::from(*lane)).sum()
}

/// Adds one to each lane whose byte is a digit or a punctuation mark of ASCII, and sets the bits of the bytes in `bits`.
#[inline(always)]
fn count_marks(block: &[u8; BLOCK], marks: &mut [u8; BLOCK], bits: &mut [u8; BLOCK]) {
    for ((count, bits), byte) in marks.iter_mut().zip(bits).zip(block) {
        // Letters are among them and taken off again: no comparison is turned around.
        *count = count
            .wrapping_add(u8::from(is_graphic(*byte)))
            .wrapping_sub(u8::from(is_letter(*byte)));
        *bits |= *byte;
    }
}

/// Adds one to each lane whose byte is ASCII, at least the first one of a character of three bytes, or at least of two. With sign,
/// bytes beyond ASCII are the least, and those that continue a character the least of all.
#[inline(always)]
fn count_firsts(
    block: &[u8; BLOCK],
    plain: &mut [u8; BLOCK],
    wide: &mut [u8; BLOCK],
    two_byte: &mut [u8; BLOCK],
) {
    let lanes = plain.iter_mut().zip(wide).zip(two_byte);
    for (((plain, wide), two_byte), byte) in lanes.zip(block) {
        let byte = *byte as i8;
        *plain += u8::from(byte >= 0);
        *wide += u8::from(byte >= 0xe0_u8 as i8);
        *two_byte += u8::from(byte >= 0xc2_u8 as i8);
    }
}

/// Whether a byte is between `!` and `~`. Compared with sign, after the range was shifted to its lower end: SSE compares bytes with
/// sign in one instruction, without sign in four.
const fn is_graphic(byte: u8) -> bool {
    (byte.wrapping_sub(b'!').wrapping_add(0x80) as i8) < i8::MIN + 94
}

/// Whether a byte is a letter of ASCII.
const fn is_letter(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a').wrapping_add(0x80) as i8) < i8::MIN + 26
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_apart_as_the_standard_library_tells_them() {
        for byte in 0..=255_u8 {
            assert_eq!(is_graphic(byte), byte.is_ascii_graphic(), "{byte:#x}");
            assert_eq!(is_letter(byte), byte.is_ascii_alphabetic(), "{byte:#x}");
        }
    }

    #[test]
    fn a_byte_counts_wherever_it_stands() {
        for length in (0..70).chain([511, 512, 513, 1_024, 4_100]) {
            let plain = text_tokens(&"x".repeat(length));
            assert_eq!(plain, length as f32 / 4.4, "{length}");
            for (one, tokens) in [("7", 1.0 / 1.8), ("é", 1.0 / 2.2), ("漢", 1.0 / 1.3)] {
                for before in [0, length / 2, length] {
                    let text = "x".repeat(before) + one + &"x".repeat(length - before);
                    assert_eq!(text_tokens(&text), plain + tokens, "{text}");
                }
            }
            assert_eq!(text_tokens(&"~".repeat(length)), length as f32 / 1.8);
            assert_eq!(text_tokens(&"漢".repeat(length)), length as f32 / 1.3);
        }
    }
}
