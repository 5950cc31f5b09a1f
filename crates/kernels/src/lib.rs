//! The classifier's inner loops: the only code of the module that is compiled for speed, not for size.
//!
//! Every target runs the same order of operations, without fused multiply-add, so that the numbers are the same natively and
//! in WebAssembly. Nothing here knows tensors or graphs.

/// Columns of one panel: 16 floats are four 128-bit lanes.
const PANEL: usize = 16;

/// Rows whose sum of int8 always fits into an i16: 256 · −128 is its least value.
const EXACT_ROWS: usize = 256;

/// The sum of rows, each times its factor. A row is int8 in two's complement, as many as `sums` has.
///
/// A mean, which is what the classifier asks for, has one factor for all: its sum is taken in integers, which are exact in
/// any order and eight to a lane.
pub fn embedding_sum(rows: &[(&[u8], f32)], sums: &mut [f32]) {
    let factor = rows.first().map_or(0.0, |(_, factor)| *factor);
    let is_mean = rows.len() <= EXACT_ROWS && rows.iter().all(|(_, other)| *other == factor);
    let (blocks, rest) = sums.as_chunks_mut::<PANEL>();
    let rest_start = blocks.len() * PANEL;
    for (index, block) in blocks.iter_mut().enumerate() {
        let chunks = rows.iter().filter_map(|(row, factor)| {
            let row = row.get(index * PANEL..)?.first_chunk::<PANEL>()?;
            Some((row, *factor))
        });
        *block = if is_mean {
            sum_exactly(chunks.map(|(row, _)| row)).map(|sum| factor * f32::from(sum))
        } else {
            sum_weighted(chunks)
        };
    }
    rest.fill(0.0);
    for (row, factor) in rows {
        let row = row.get(rest_start..).unwrap_or_default();
        for (sum, byte) in rest.iter_mut().zip(row) {
            *sum += factor * f32::from(*byte as i8);
        }
    }
}

fn sum_exactly<'a>(rows: impl Iterator<Item = &'a [u8; PANEL]>) -> [i16; PANEL] {
    let mut totals = [0_i16; PANEL];
    for row in rows {
        for (total, byte) in totals.iter_mut().zip(row) {
            *total = total.wrapping_add(i16::from(*byte as i8));
        }
    }
    totals
}

fn sum_weighted<'a>(rows: impl Iterator<Item = (&'a [u8; PANEL], f32)>) -> [f32; PANEL] {
    let mut totals = [0.0_f32; PANEL];
    for (row, factor) in rows {
        for (total, byte) in totals.iter_mut().zip(row) {
            *total += factor * f32::from(*byte as i8);
        }
    }
    totals
}

/// A constant k × n matrix, laid out for [`PackedMatrix::gemv`]: 16 columns at a time, the rows of one panel one after the
/// other, so that memory is read from front to back. Columns that are missing from the last panel are zeros.
#[derive(Debug, Clone)]
pub struct PackedMatrix {
    rows: usize,
    columns: usize,
    weights: Vec<[f32; PANEL]>,
}

impl PackedMatrix {
    /// Lays out a matrix of `rows` rows, given in row-major order.
    pub fn new(matrix: &[f32], rows: usize) -> PackedMatrix {
        let columns = matrix.len().checked_div(rows).unwrap_or(0);
        let mut weights = Vec::with_capacity(columns.div_ceil(PANEL) * rows);
        for first in (0..columns).step_by(PANEL) {
            for line in matrix.chunks_exact(columns) {
                let mut panel = [0.0; PANEL];
                for (place, weight) in panel.iter_mut().zip(line.iter().skip(first)) {
                    *place = *weight;
                }
                weights.push(panel);
            }
        }
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

    /// A row of k numbers times the matrix; `product` has room for n. Zeros, which half of a hidden layer is, cost nothing.
    pub fn gemv(&self, row: &[f32], product: &mut [f32]) {
        let used: Vec<(usize, f32)> = row
            .iter()
            .enumerate()
            .filter(|(_, factor)| **factor != 0.0)
            .map(|(index, factor)| (index, *factor))
            .collect();
        let panels = self.weights.chunks_exact(self.rows.max(1));
        for (places, panel) in product.chunks_mut(PANEL).zip(panels) {
            let mut sums = [0.0_f32; PANEL];
            for (index, factor) in &used {
                let Some(line) = panel.get(*index) else {
                    break;
                };
                for (sum, weight) in sums.iter_mut().zip(line) {
                    *sum += factor * weight;
                }
            }
            for (place, sum) in places.iter_mut().zip(sums) {
                *place = sum;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn embedding_sum_is_the_weighted_sum_for_any_width() {
        for columns in [0, 1, 15, 16, 17, 64] {
            let table: Vec<u8> = (0..3 * columns).map(|i| (i * 37) as u8).collect();
            let row = |k: usize| &table[k * columns..(k + 1) * columns];
            let of = |k: usize, column: usize| f32::from(row(k)[column] as i8);
            let mut sums = vec![1.0; columns];
            embedding_sum(&[(row(2), 0.5), (row(0), -2.0), (row(2), 0.25)], &mut sums);
            for (column, sum) in sums.iter().enumerate() {
                let expected = 0.75 * of(2, column) - 2.0 * of(0, column);
                assert_eq!(*sum, expected, "column {column}");
            }
            embedding_sum(&[(row(2), 0.5), (row(0), 0.5)], &mut sums);
            for (column, sum) in sums.iter().enumerate() {
                let expected = 0.5 * (of(2, column) + of(0, column));
                assert_eq!(*sum, expected, "column {column}");
            }
        }
    }

    #[test]
    fn as_many_rows_as_there_can_be_do_not_overflow() {
        let least = [0x80_u8; PANEL];
        for count in [EXACT_ROWS, EXACT_ROWS + 1] {
            let mut sums = [0.0; PANEL];
            embedding_sum(&vec![(least.as_slice(), 1.0); count], &mut sums);
            assert_eq!(sums, [count as f32 * -128.0; PANEL]);
        }
    }

    #[test]
    fn gemv_is_the_matrix_product_for_any_width() {
        for columns in [0, 1, 15, 16, 17, 44, 64] {
            let mut row: Vec<f32> = (0..7).map(|i| i as f32 - 3.0).collect();
            row[6] = 0.0;
            let matrix: Vec<f32> = (0..7 * columns).map(|i| (i % 11) as f32).collect();
            let panels = PackedMatrix::new(&matrix, row.len());
            assert_eq!((panels.rows(), panels.columns()), (7, columns));
            let mut product = vec![1.0; columns];
            panels.gemv(&row, &mut product);
            for (column, value) in product.iter().enumerate() {
                let expected: f32 = (0..7).map(|k| row[k] * matrix[k * columns + column]).sum();
                assert_eq!(*value, expected, "column {column} of {columns}");
            }
        }
    }
}
