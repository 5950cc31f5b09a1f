//! The classifier's inner loops: the only code of the module that is compiled for speed, not for size.
//!
//! Every target runs the same order of operations, without fused multiply-add, so that the numbers are the same natively and
//! in WebAssembly. Nothing here knows tensors or graphs.

/// Columns of a table that are summed at once: 32 numbers of 16 bits are four 128-bit lanes.
const BLOCK: usize = 32;

/// Columns of a matrix that are worked on at once: 24 floats are six 128-bit lanes. With eight, which V8's registers
/// hardly hold, products take a third longer; with four, where the rest of the loop weighs more, 7 %.
const PANEL: usize = 24;

/// Columns of the last panel where no more are left, so that less of it is padding.
const NARROW: usize = 16;

/// Rows whose sum of int8 always fits into an i16: 256 · −128 is its least value.
const EXACT_ROWS: usize = 256;

/// The sum of rows of an int8 table, each times its weight: `ids` names the rows, `sums` has as many columns as the table. `None` if a
/// row of a weight other than 0 is outside of it.
///
/// Neighbouring rows of one weight, which is nearly all that the classifier asks for, are summed in integers: exact in any
/// order, and eight to a lane.
#[must_use]
pub fn embedding_sum(table: &[u8], ids: &[u16], weights: &[f32], sums: &mut [f32]) -> Option<()> {
    let width = sums.len();
    sums.fill(0.0);
    let (mut ids, mut weights) = (ids, weights);
    while let Some(&weight) = weights.first() {
        let most = weights.iter().take(EXACT_ROWS);
        let alike = most.take_while(|other| **other == weight).count().max(1);
        let (run, ids_behind) = ids.split_at_checked(alike)?;
        (ids, weights) = (ids_behind, weights.get(alike..)?);
        if weight == 0.0 {
            continue;
        }
        let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
        let first = blocks.len() * BLOCK;
        for (index, block) in blocks.iter_mut().enumerate() {
            let totals = sum_exactly::<BLOCK>(table, run, width, index * BLOCK)?;
            for (sum, total) in block.iter_mut().zip(totals) {
                *sum += weight * f32::from(total);
            }
        }
        for (index, sum) in rest.iter_mut().enumerate() {
            let [total] = sum_exactly::<1>(table, run, width, first + index)?;
            *sum += weight * f32::from(total);
        }
    }
    Some(())
}

/// Sums of `N` columns from `first` on, over at most [`EXACT_ROWS`] rows.
fn sum_exactly<const N: usize>(
    table: &[u8],
    ids: &[u16],
    width: usize,
    first: usize,
) -> Option<[i16; N]> {
    let mut totals = [0_i16; N];
    for id in ids {
        let row = table.get(usize::from(*id) * width + first..)?;
        for (total, byte) in totals.iter_mut().zip(row.first_chunk::<N>()?) {
            *total = total.wrapping_add(i16::from(*byte as i8));
        }
    }
    Some(totals)
}

/// Lays out a matrix of `rows` rows, given in row-major order, for [`PackedMatrix`]: some columns at a time, the rows of one panel
/// one after the other, so that memory is read from front to back. Columns that are missing from the last panel are zeros.
///
/// Weights are bfloat16, the upper half of a float: half the memory, of which each request reads all. A little-endian pair is the
/// weight of a column in the panel's first half, in its lower bits, and that of the same column in the second half.
///
/// `None` if a weight is not exactly a bfloat16.
pub fn pack(matrix: &[f32], rows: usize) -> Option<Vec<u8>> {
    let columns = matrix.len().checked_div(rows).unwrap_or(0);
    let mut bytes = Vec::new();
    let mut first = 0;
    while first < columns {
        let panel = panel_width(columns - first);
        for line in matrix.chunks_exact(columns) {
            for place in first..first + panel / 2 {
                let (low, high) = (line.get(place), line.get(place + panel / 2));
                for weight in [low, high] {
                    bytes.extend(bfloat16(weight.copied().unwrap_or(0.0))?.to_le_bytes());
                }
            }
        }
        first += panel;
    }
    Some(bytes)
}

/// The upper half of a float whose lower half is 0.
fn bfloat16(weight: f32) -> Option<u16> {
    let bits = weight.to_bits();
    (bits & 0xffff == 0).then_some((bits >> 16) as u16)
}

/// A constant k × n matrix as [`pack`] lays it out.
#[derive(Debug, Clone, Copy)]
pub struct PackedMatrix<'a> {
    rows: usize,
    columns: usize,
    weights: &'a [u8],
}

impl PackedMatrix<'_> {
    /// The matrix of `rows` rows and `columns` columns that `weights` holds.
    pub const fn new(weights: &[u8], rows: usize, columns: usize) -> PackedMatrix<'_> {
        PackedMatrix {
            rows,
            columns,
            weights,
        }
    }

    /// k: how many numbers a row has that can be multiplied.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// n: how many numbers the product has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// A row of k numbers times the matrix; `product` has room for n. Zeros are left out of `row`, where half of a hidden
    /// layer is such.
    pub fn gemv(&self, row: &SparseRow, product: &mut [f32]) {
        let used = row.used.get(..row.count).unwrap_or(&[]);
        let (mut weights, _) = self.weights.as_chunks();
        let mut places = product;
        while !places.is_empty() {
            let panel = panel_width(places.len());
            let Some((own, behind)) = weights.split_at_checked(panel / 2 * self.rows) else {
                return;
            };
            let (head, tail) = places.split_at_mut(panel.min(places.len()));
            if panel == PANEL {
                multiply::<{ PANEL / 2 }>(own, used, head);
            } else {
                multiply::<{ NARROW / 2 }>(own, used, head);
            }
            (places, weights) = (tail, behind);
        }
    }
}

/// The width of the panel that takes the first of `columns` columns.
fn panel_width(columns: usize) -> usize {
    if columns > NARROW { PANEL } else { NARROW }
}

/// The product with one panel of `N` pairs of columns.
fn multiply<const N: usize>(panel: &[[u8; 4]], used: &[(u32, f32)], product: &mut [f32]) {
    let (lines, _) = panel.as_chunks::<N>();
    let (mut lower, mut upper) = ([0.0_f32; N], [0.0_f32; N]);
    for (index, factor) in used {
        let Some(line) = lines.get(*index as usize) else {
            break;
        };
        for ((low, high), pair) in lower.iter_mut().zip(&mut upper).zip(line) {
            let pair = u32::from_le_bytes(*pair);
            *low += factor * f32::from_bits(pair << 16);
            *high += factor * f32::from_bits(pair & 0xffff_0000);
        }
    }
    for (place, sum) in product.iter_mut().zip(lower.into_iter().chain(upper)) {
        *place = sum;
    }
}

/// The numbers of a row that are not 0, with their places.
#[derive(Debug, Clone, Default)]
pub struct SparseRow {
    used: Vec<(u32, f32)>,
    count: usize,
    len: usize,
}

impl SparseRow {
    /// A row of no numbers, with room for `len`.
    pub fn with_capacity(len: usize) -> SparseRow {
        SparseRow {
            used: vec![(0, 0.0); len],
            count: 0,
            len: 0,
        }
    }

    /// Appends numbers; those for which there is no room are dropped.
    pub fn extend(&mut self, values: &[f32]) {
        for value in values {
            // Without a branch: which half of a hidden layer is 0 cannot be predicted.
            if let Some(place) = self.used.get_mut(self.count) {
                *place = (self.len as u32, *value);
            }
            self.count += usize::from(*value != 0.0);
            self.len += 1;
        }
    }

    /// How many numbers were appended, zeros included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// max(x, 0) of each number.
pub fn relu(values: &mut [f32]) {
    for value in values {
        // `f32::max` is a call for each number in WebAssembly; a comparison becomes SIMD.
        *value = if *value > 0.0 { *value } else { 0.0 };
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn embedding_sum_is_the_weighted_sum_for_any_width() {
        for columns in [1, 15, 16, 17, 31, 32, 33, 64] {
            let table: Vec<u8> = (0..3 * columns).map(|i| (i * 37) as u8).collect();
            let of = |k: usize, column: usize| f32::from(table[k * columns + column] as i8);
            let mut sums = vec![1.0; columns];
            embedding_sum(&table, &[2, 0, 7, 2], &[0.5, -2.0, 0.0, 0.25], &mut sums).unwrap();
            for (column, sum) in sums.iter().enumerate() {
                let expected = 0.75 * of(2, column) - 2.0 * of(0, column);
                assert_eq!(*sum, expected, "column {column}");
            }
            embedding_sum(&table, &[2, 0], &[0.5, 0.5], &mut sums).unwrap();
            for (column, sum) in sums.iter().enumerate() {
                let expected = 0.5 * (of(2, column) + of(0, column));
                assert_eq!(*sum, expected, "column {column}");
            }
            assert_eq!(embedding_sum(&table, &[3], &[0.5], &mut sums), None);
            embedding_sum(&table, &[], &[], &mut sums).unwrap();
            assert_eq!(sums, vec![0.0; columns]);
        }
        assert_eq!(embedding_sum(&[], &[0], &[f32::NAN], &mut []), Some(()));
    }

    #[test]
    fn as_many_rows_as_there_can_be_do_not_overflow() {
        let least = [0x80_u8; BLOCK];
        for count in [EXACT_ROWS, EXACT_ROWS + 1, 3 * EXACT_ROWS] {
            let mut sums = [0.0; BLOCK];
            embedding_sum(&least, &vec![0; count], &vec![1.0; count], &mut sums).unwrap();
            assert_eq!(sums, [count as f32 * -128.0; BLOCK]);
        }
    }

    #[test]
    fn gemv_is_the_matrix_product_for_any_width() {
        for columns in [0, 1, 15, 16, 17, 24, 25, 40, 41, 49, 64, 68] {
            let mut row: Vec<f32> = (0..7).map(|i| i as f32 - 3.0).collect();
            row[6] = 0.0;
            let matrix: Vec<f32> = (0..7 * columns).map(|i| (i % 11) as f32).collect();
            let weights = pack(&matrix, row.len()).unwrap();
            let panels = PackedMatrix::new(&weights, row.len(), columns);
            assert_eq!((panels.rows(), panels.columns()), (7, columns));
            let mut product = vec![1.0; columns];
            let mut sparse = SparseRow::with_capacity(row.len());
            sparse.extend(&row[..2]);
            sparse.extend(&row[2..]);
            assert_eq!((sparse.len(), sparse.count), (7, 5));
            panels.gemv(&sparse, &mut product);
            for (column, value) in product.iter().enumerate() {
                let expected: f32 = (0..7).map(|k| row[k] * matrix[k * columns + column]).sum();
                assert_eq!(*value, expected, "column {column} of {columns}");
            }
        }
    }

    #[test]
    fn only_what_a_bfloat16_holds_is_packed() {
        assert_eq!(pack(&[1.0, 0.5], 2).unwrap().len(), 2 * 2 * NARROW);
        assert_eq!(pack(&[1.0, 0.1], 2), None);
        assert_eq!(pack(&[1.0, f32::from_bits(0x3f80_0001)], 1), None);
    }

    #[test]
    fn relu_keeps_what_is_positive() {
        let mut values = [-1.0, 0.0, 0.5, -0.0, f32::NEG_INFINITY, 3.0];
        relu(&mut values);
        assert_eq!(values, [0.0, 0.0, 0.5, 0.0, 0.0, 3.0]);
    }
}
