//! Hashes, and stable draws from them.
//!
//! A draw is a hash, never a random number: the same user, tenant or conversation draws alike in every worker, every proxy and
//! on the command line.

use crate::fnv;

/// A number from 0 up to but without 1 that two numbers stand for, evenly spread.
pub fn draw(salt: u64, key: u64) -> f64 {
    (mix(salt ^ key.rotate_left(32)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finaliser of SplitMix64: each number comes from exactly one number, and neighbouring numbers become unlike.
pub const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A hash of texts: FNV-1a, 64 bits, of at most 4096 bytes of each. Tells apart; nothing secret rests on it.
pub fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let ended = |text: &'a str| text.bytes().take(4096).chain([0xff]);
    fnv::hash64(texts.into_iter().flat_map(ended))
}

/// Tells JSON documents apart: FNV-1a, 64 bits, of all of the text but the white space between its words. So a policy is the same
/// in its file, in the indented configuration of an Envoy, and from a server.
pub(crate) fn fingerprint(text: &str) -> u64 {
    let (mut is_inside, mut is_escaped) = (false, false);
    let counts = move |byte: &u8| {
        let quotes = *byte == b'"' && !is_escaped;
        is_inside ^= quotes;
        is_escaped = is_inside && *byte == b'\\' && !is_escaped;
        is_inside || !byte.is_ascii_whitespace()
    };
    fnv::hash64(text.bytes().filter(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_the_same_however_it_is_indented() {
        let one = r#"{"a b": "x \" y", "c": [1, 2]}"#;
        let same = [
            "{\n  \"a b\":\t\"x \\\" y\",\n  \"c\": [1,2]\n}\n",
            r#"{"a b":"x \" y","c":[1,2]}"#,
        ];
        for other in same {
            assert_eq!(fingerprint(one), fingerprint(other), "{other}");
        }
        let others = [
            r#"{"ab": "x \" y", "c": [1, 2]}"#,
            r#"{"a b": "x \"  y", "c": [1, 2]}"#,
            r#"{"a b": "x \" y", "c": [1, 3]}"#,
        ];
        for other in others {
            assert_ne!(fingerprint(one), fingerprint(other), "{other}");
        }
    }
}
