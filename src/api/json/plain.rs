//! Where a run of plain string bytes ends, many bytes at a time.

/// How many bytes of a run are read a word at a time, before it is taken for a long one.
const SHORT_RUN: usize = 64;

/// Where the run of plain string bytes that starts at `from` ends: at a quote, a backslash, a control character or the end.
///
/// Words instead of SIMD types, so that it is as fast in WebAssembly: first one at a time, for prose with an escape in
/// every line, then four at a time, for a base64 image of megabytes.
pub(crate) fn plain_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    let mut at = from;
    for word in words {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at == from + SHORT_RUN {
            return long_plain_end(bytes, at);
        }
    }
    at + first_special(tail)
}

/// The same where the run is long already.
fn long_plain_end(bytes: &[u8], from: usize) -> usize {
    let (blocks, tail) = bytes.get(from..).unwrap_or_default().as_chunks::<32>();
    let mut at = from;
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        let any = words
            .iter()
            .fold(0, |any, word| any | special(u64::from_le_bytes(*word)));
        if any != 0 {
            return at + first_special(block);
        }
        at += 32;
    }
    at + first_special(tail)
}

/// The place of the first byte in `bytes` that is not plain, or their number.
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
