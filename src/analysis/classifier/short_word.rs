//! Short words as three numbers, and the hash by which tables find them that build.rs makes.
//!
//! A word in registers is hashed, compared and cut without a loop over its bytes. Shared with build.rs.

/// Longest word in bytes.
pub const MOST_BYTES: usize = 24;

/// The bytes of a word, the first one lowest, with zeros behind them: a word has no byte 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShortWord(pub [u64; 3]);

impl ShortWord {
    /// The first [`MOST_BYTES`] bytes of `bytes`.
    pub const fn new(bytes: &[u8]) -> ShortWord {
        let mut rest = bytes;
        let (mut words, mut at) = ([0; 3], 0);
        while let [byte, behind @ ..] = rest {
            if at == MOST_BYTES {
                break;
            }
            let [first, second, third] = &mut words;
            let word = match at / 8 {
                0 => first,
                1 => second,
                _ => third,
            };
            *word |= (*byte as u64) << (at % 8 * 8);
            at += 1;
            rest = behind;
        }
        ShortWord(words)
    }

    /// Its first `len` bytes.
    pub fn prefix(self, len: usize) -> ShortWord {
        let [first, second, third] = self.0;
        ShortWord([
            first & mask(len),
            second & mask(len.saturating_sub(8)),
            third & mask(len.saturating_sub(16)),
        ])
    }

    /// 64 bits that depend on every byte and on `seed`.
    pub const fn hash(self, seed: u64) -> u64 {
        let [first, second, third] = self.0;
        let mut hash = (first ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 32) ^ second).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash = (hash ^ (hash >> 29) ^ third).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^ (hash >> 32)
    }
}

/// The lowest `len` bytes of a number; all of it from 8 on.
pub fn mask(len: usize) -> u64 {
    if len < 8 { (1 << (len * 8)) - 1 } else { !0 }
}

/// A perfect hash of the vocabulary: where an entry stands, by its hash alone.
///
/// Each of the buckets has a factor for which all of its entries get slots of their own.
pub mod table {
    /// The bits of a hash that pick a bucket.
    pub const BUCKET_BITS: u32 = 13;

    /// Bytes of a slot: 32 bits of the hash and the id, little-endian.
    pub const SLOT_BYTES: usize = 6;

    /// Differs between entries at the start of a word and those that continue one.
    pub const fn seed(continues: bool) -> u64 {
        if continues { 0x2545_f491_4f6c_dd1d } else { 0 }
    }

    /// The bucket of a hash.
    pub const fn bucket(hash: u64) -> usize {
        (hash >> (64 - BUCKET_BITS)) as usize
    }

    /// The slot of a hash, of `slots`, by the factor of its bucket.
    pub const fn slot(hash: u64, factor: u16, slots: usize) -> usize {
        let mixed = (hash as u32).wrapping_mul(2 * factor as u32 + 1);
        ((mixed as u64 * slots as u64) >> 32) as usize
    }

    /// What a slot keeps of a hash: other bits than those that pick it.
    pub const fn fingerprint(hash: u64) -> u32 {
        (hash >> 32) as u32
    }
}
