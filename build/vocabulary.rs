//! The vocabulary as a perfect hash, so that a worker neither reads it nor compares strings.
//!
//! Entries are in buckets by their hash; for each bucket, the largest first, a factor is searched that sends its entries to free slots.

use std::path::Path;

use crate::short_word::{MOST_BYTES, ShortWord, table};
use crate::wire::Result;

/// Padding and the unknown token: no text can ask for them.
const SPECIAL: usize = 2;

/// Bytes behind the last slot, so that every slot is read as eight.
const BEHIND: usize = 8 - table::SLOT_BYTES;

/// Factors that are tried for a bucket.
const FACTORS: u16 = u16::MAX;

struct Entry {
    hash: u64,
    id: u16,
}

/// Packs the entries, one a line; the constants as Rust source. Files go to `out_dir`.
pub fn pack(vocabulary: &str, out_dir: &Path) -> Result<String> {
    let mut buckets: Vec<Vec<Entry>> = Vec::new();
    buckets.resize_with(1 << table::BUCKET_BITS, Vec::new);
    // By whether they continue a word.
    let mut longest = [0, 0];
    let mut count = 0;
    for (id, line) in vocabulary.lines().enumerate().skip(SPECIAL) {
        let bare = line.strip_prefix("##").filter(|bare| !bare.is_empty());
        let (continues, bare) = (bare.is_some(), bare.unwrap_or(line));
        let is_word = (1..=MOST_BYTES).contains(&bare.len()) && !bare.contains('\0');
        let id = u16::try_from(id).map_err(|_| format!("`{line}`: more entries than 65536"))?;
        if !is_word {
            return Err(format!("`{line}`: an entry has 1 to {MOST_BYTES} bytes"));
        }
        let hash = ShortWord::new(bare.as_bytes()).hash(table::seed(continues));
        let bucket = buckets.get_mut(table::bucket(hash));
        bucket.ok_or("no bucket")?.push(Entry { hash, id });
        if let Some(longest) = longest.get_mut(usize::from(continues)) {
            *longest = bare.len().max(*longest);
        }
        count += 1;
    }
    // One slot in 32 stays free: the last bucket still finds one.
    let slots = count + count / 32;
    let (factors, ids) = place(&buckets, slots)?;

    let mut bytes = Vec::new();
    for entry in &ids {
        let (fingerprint, id) = entry.unwrap_or((0, 0));
        bytes.extend(u32::to_le_bytes(fingerprint));
        bytes.extend(u16::to_le_bytes(id));
    }
    bytes.resize(bytes.len() + BEHIND, 0);
    let factors: Vec<u8> = factors.iter().flat_map(|x| x.to_le_bytes()).collect();
    for (file, bytes) in [
        ("vocabulary_slots.bin", bytes),
        ("vocabulary_factors.bin", factors),
    ] {
        std::fs::write(out_dir.join(file), bytes)
            .map_err(|error| format!("cannot write `{file}`: {error}"))?;
    }
    let [word, piece] = longest;
    Ok(format!(
        "/// Slots of the vocabulary.\npub(super) const SLOTS: usize = {slots};\n\
         /// Longest entry in bytes at the start of a word.\npub(super) const WORD_ENTRY_BYTES: usize = {word};\n\
         /// Longest entry in bytes inside of one.\npub(super) const PIECE_ENTRY_BYTES: usize = {piece};\n\
         /// Fingerprint and id of each slot.\npub(super) static SLOT_TABLE: &[u8] = include_bytes!(\"vocabulary_slots.bin\");\n\
         /// The factor of each bucket, as little-endian `u16`.\npub(super) static FACTORS: &[u8] = include_bytes!(\"vocabulary_factors.bin\");\n"
    ))
}

type Slots = Vec<Option<(u32, u16)>>;

/// The factor of each bucket, and fingerprint and id in each slot.
fn place(buckets: &[Vec<Entry>], slots: usize) -> Result<(Vec<u16>, Slots)> {
    let mut order: Vec<usize> = (0..buckets.len()).collect();
    order.sort_by_key(|bucket| std::cmp::Reverse(buckets.get(*bucket).map(Vec::len)));
    let mut factors = vec![0_u16; buckets.len()];
    let mut taken: Slots = vec![None; slots];
    for number in order {
        let Some(bucket) = buckets.get(number).filter(|bucket| !bucket.is_empty()) else {
            continue;
        };
        let fits = |factor: &u16| {
            let mut found: Vec<usize> = Vec::new();
            bucket.iter().all(|entry| {
                let slot = table::slot(entry.hash, *factor, slots);
                let is_free = taken.get(slot) == Some(&None) && !found.contains(&slot);
                found.push(slot);
                is_free
            })
        };
        let factor = (0..FACTORS)
            .find(fits)
            .ok_or("no factor keeps a bucket apart: another seed is needed")?;
        for entry in bucket {
            let slot = table::slot(entry.hash, factor, slots);
            if let Some(place) = taken.get_mut(slot) {
                *place = Some((table::fingerprint(entry.hash), entry.id));
            }
        }
        if let Some(place) = factors.get_mut(number) {
            *place = factor;
        }
    }
    Ok((factors, taken))
}
