//! The receipts that feedback was given for, by number, so that each counts once. All workers of a proxy share these records.
//!
//! A record holds the newest numbers of one bucket. The number of buckets and their sizes are fixed: about
//! `BUCKETS * MAX_CLAIMS` receipts are remembered, and one that was given feedback before them could count again.

use super::codec::{Layout, Reader};

/// The number of records.
pub const BUCKETS: u64 = 256;
/// The most numbers of one record.
pub const MAX_CLAIMS: usize = 256;
/// An entry: the number of a receipt.
const LAYOUT: Layout = Layout::new(0x51, 8, MAX_CLAIMS);

/// The bucket of a number.
pub const fn bucket_of(number: u64) -> u64 {
    (number ^ (number >> 32)) % BUCKETS
}

/// `record` with `number` as its newest entry; `None` if the record has it already.
pub fn claim(record: &[u8], number: u64) -> Option<Vec<u8>> {
    let read = |mut entry: Reader<'_>| entry.u64();
    let entries = LAYOUT.entries(record);
    let count = entries.len();
    let known = || LAYOUT.entries(record).filter_map(read);
    if known().any(|known| known == number) {
        return None;
    }
    let mut after = LAYOUT.writer((count + 1).min(MAX_CLAIMS));
    for number in std::iter::once(number).chain(known()).take(MAX_CLAIMS) {
        after.u64(number);
    }
    Some(after.finish())
}

/// The number under which a comparison of two receipts is claimed, whichever is the better: not that of either, so that each can
/// have a score besides.
pub const fn pair(left: u64, right: u64) -> u64 {
    let (low, high) = if left < right {
        (left, right)
    } else {
        (right, left)
    };
    low.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_claimed_once_while_it_is_remembered() {
        let mut record = Vec::new();
        for number in 0..1000 {
            let after = claim(&record, number);
            assert!(after.is_some(), "{number}");
            record = after.unwrap_or_default();
            assert_eq!(claim(&record, number), None);
        }
        assert_eq!(record.len(), LAYOUT.record_bytes(MAX_CLAIMS));
        assert_eq!(claim(&record, 1000 - MAX_CLAIMS as u64), None);
        assert!(claim(&record, 999 - MAX_CLAIMS as u64).is_some());
    }

    #[test]
    fn a_broken_record_has_claimed_nothing() {
        assert_eq!(claim(&[1; 11], 1), claim(&[], 1));
        assert!((0..5000).all(|number| bucket_of(number) < BUCKETS));
    }

    #[test]
    fn a_pair_has_a_number_of_its_own_whatever_its_order() {
        assert_eq!(pair(3, 8), pair(8, 3));
        assert_ne!(pair(3, 8), pair(3, 9));
        assert!(![3, 8].contains(&pair(3, 8)));
    }
}
