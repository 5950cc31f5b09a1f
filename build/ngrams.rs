//! The index of the n-gram table in an eighth of its size, so that it stays in the processor's nearest cache.

use std::path::Path;

use crate::wire::Result;

/// Buckets of one block: their bits fill a `u64`.
const BLOCK: usize = 64;

/// Checks the index, a `u16` for each bucket, against the table, and writes it to `ngrams.bin` in `out_dir`: for every [`BLOCK`] buckets
/// a bit each, set for those that have a row, and how many before them have one. That tells the row, since rows have to be numbered in
/// the order of their buckets.
pub fn pack(index: &[u8], table_rows: usize, out_dir: &Path) -> Result<()> {
    let mut rows = 0_u16;
    let mut packed = Vec::new();
    let (index, rest) = index.as_chunks::<2>();
    for block in index.chunks(BLOCK) {
        let (mut bits, before) = (0_u64, rows);
        for (number, bucket) in block.iter().enumerate() {
            let row = u16::from_le_bytes(*bucket);
            if row == 0 {
                continue;
            }
            rows += 1;
            if row != rows {
                return Err(format!(
                    "row {row} is named where {rows} is the next: rows have to be in the order of their buckets"
                ));
            }
            bits |= 1 << number;
        }
        packed.extend(bits.to_le_bytes());
        packed.extend(before.to_le_bytes());
    }
    if !rest.is_empty() || index.len() % BLOCK != 0 || usize::from(rows) + 1 != table_rows {
        return Err(format!(
            "{} buckets and {rows} rows; the classifier's table has {table_rows} rows, the first of which is none's",
            index.len()
        ));
    }
    std::fs::write(out_dir.join("ngrams.bin"), packed)
        .map_err(|error| format!("cannot write `ngrams.bin`: {error}"))
}
