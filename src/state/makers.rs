//! Who made state that only its maker can read, remembered by the state's mark: records that the workers of a proxy share.
//!
//! A record holds the newest marks of one bucket. Buckets and their sizes are fixed, so nothing grows with traffic; what is
//! forgotten is guessed.

/// How many records there are.
pub const BUCKETS: u64 = 1024;
/// The most marks of a record.
pub const MOST: usize = 128;
/// Bytes of an entry: a mark and the key of a state scope.
const ENTRY: usize = 12;

/// The bucket of a mark.
pub const fn bucket_of(mark: u64) -> u64 {
    (mark ^ (mark >> 32)) % BUCKETS
}

/// The key of the scope that made the state of this mark, if `record` knows.
pub fn find(record: &[u8], mark: u64) -> Option<u32> {
    let (entries, _) = record.as_chunks::<ENTRY>();
    entries.iter().find_map(|entry| {
        let (known, scope) = read(entry)?;
        (known == mark).then_some(scope)
    })
}

/// `record` with the maker of this mark as its newest entry; `None` where that stands there already.
pub fn put(record: &[u8], mark: u64, scope: u32) -> Option<Vec<u8>> {
    if find(record, mark) == Some(scope) {
        return None;
    }
    let mut after = Vec::with_capacity((record.len() + ENTRY).min(MOST * ENTRY));
    after.extend_from_slice(&mark.to_le_bytes());
    after.extend_from_slice(&scope.to_le_bytes());
    let (entries, _) = record.as_chunks::<ENTRY>();
    let others = entries
        .iter()
        .filter(|entry| read(entry).is_some_and(|(known, _)| known != mark));
    for entry in others.take(MOST - 1) {
        after.extend_from_slice(entry);
    }
    Some(after)
}

fn read(entry: &[u8; ENTRY]) -> Option<(u64, u32)> {
    let (mark, rest) = entry.split_first_chunk::<8>()?;
    let (scope, _) = rest.split_first_chunk::<4>()?;
    Some((u64::from_le_bytes(*mark), u32::from_le_bytes(*scope)))
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
        assert_eq!(record.len(), MOST * ENTRY);
        assert_eq!(find(&record, 999), Some(2997));
        assert_eq!(
            find(&record, 1000 - MOST as u64),
            Some(3 * (1000 - MOST as u32))
        );
        assert_eq!(find(&record, 0), None);
        assert_eq!(put(&record, 999, 2997), None);
        // State that another one turns out to read is its from then on.
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
