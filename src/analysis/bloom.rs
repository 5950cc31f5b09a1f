//! A Bloom filter of words by their hashes: which words a table surely lacks, in eight cache lines.
//!
//! Most words of a text are in none of our tables. Looked up there, each of them would read a cache line of its own.

/// Two bits for each word, both in the number that its hash picks. Of 700 words, one other word in twelve passes.
#[repr(align(64))]
pub(super) struct Bloom([u64; 64]);

impl Bloom {
    /// A filter of no words.
    pub(super) const EMPTY: Bloom = Bloom([0; 64]);

    /// The filter with another word.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn with(mut self, hash: u64) -> Bloom {
        self.0[index(hash)] |= bits(hash);
        self
    }

    /// Whether the word with this hash may be among the words.
    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let bits = bits(hash);
        let all = self.0.get(index(hash)).copied().unwrap_or_default();
        all & bits == bits
    }
}

const fn index(hash: u64) -> usize {
    (hash >> 58) as usize
}

const fn bits(hash: u64) -> u64 {
    (1 << (hash >> 52 & 63)) | (1 << (hash >> 46 & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_pass_and_few_others_do() {
        let hash = |number: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let words = (0..700).map(hash);
        let filter = words.clone().fold(Bloom::EMPTY, Bloom::with);
        assert!(words.clone().all(|word| filter.may_have(word)));
        let others = (700..10_700).map(hash);
        let passed = others.filter(|other| filter.may_have(*other)).count();
        assert!(passed < 1_500, "{passed}");
    }
}
