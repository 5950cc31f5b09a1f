//! The makers of provider state: which state scope made a piece of state, by the state's mark. All workers of a proxy share
//! these records.
//!
//! A record holds the newest marks of one bucket. The number of buckets and their sizes are fixed, so nothing grows with
//! traffic. If a mark is forgotten, the router guesses the maker.

use super::codec::{Layout, Reader};

/// The number of records.
pub const BUCKETS: u64 = 1024;
/// The most marks of one record.
pub const MAX_MARKS: usize = 128;
/// An entry: a mark and the key of a state scope.
const LAYOUT: Layout = Layout::new(0x41, 8 + 4, MAX_MARKS);

/// The bucket of a mark.
pub const fn bucket_of(mark: u64) -> u64 {
    (mark ^ (mark >> 32)) % BUCKETS
}

/// The key of the scope that made the state of this mark, if `record` has it.
pub fn find(record: &[u8], mark: u64) -> Option<u32> {
    let mut entries = LAYOUT.entries(record).filter_map(read);
    entries.find_map(|(known, scope)| (known == mark).then_some(scope))
}

/// `record` with the maker of this mark as its newest entry; `None` if the record has it already.
pub fn put(record: &[u8], mark: u64, scope: u32) -> Option<Vec<u8>> {
    if find(record, mark) == Some(scope) {
        return None;
    }
    let entries = LAYOUT.entries(record);
    let mut after = LAYOUT.writer((entries.len() + 1).min(MAX_MARKS));
    let others = entries.filter_map(read).filter(|(known, _)| *known != mark);
    for (mark, scope) in std::iter::once((mark, scope)).chain(others).take(MAX_MARKS) {
        after.u64(mark);
        after.u32(scope);
    }
    Some(after.finish())
}

fn read(mut entry: Reader<'_>) -> Option<(u64, u32)> {
    Some((entry.u64()?, entry.u32()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let mut record = Vec::new();
        for mark in 0..1000 {
            record = put(&record, mark, mark as u32 * 3).unwrap_or(record);
        }
        assert_eq!(record.len(), LAYOUT.record_bytes(MAX_MARKS));
        assert_eq!(find(&record, 999), Some(2997));
        assert_eq!(
            find(&record, 1000 - MAX_MARKS as u64),
            Some(3 * (1000 - MAX_MARKS as u32))
        );
        assert_eq!(find(&record, 0), None);
        assert_eq!(put(&record, 999, 2997), None);
        // If another scope turns out to read the state, the state belongs to it from then on.
        let moved = put(&record, 999, 1).unwrap_or_default();
        assert_eq!(find(&moved, 999), Some(1));
        assert_eq!(moved.len(), record.len());
    }

    #[test]
    fn a_broken_record_knows_nothing_wrong() {
        assert_eq!(find(&[1; 11], 1), None);
        assert_eq!(find(&[], 0), None);
        assert!((0..5000).all(|mark| bucket_of(mark) < BUCKETS));
    }
}
