//! The classifier's inner loops: the only code of the module that is compiled for speed, not for size.
//!
//! The same order of operations on every target, and no fused multiply-add, so that the numbers are the same natively and
//! in WebAssembly. Nothing here knows tensors or graphs.

/// Columns that one pass of [`row_times`] keeps in registers: 16 floats are four 128-bit lanes.
const BLOCK: usize = 16;

/// The sum of rows, each times its factor, in their order. A row is int8 in two's complement, as many as `sums` has.
pub fn sum_rows(rows: &[(&[u8], f32)], sums: &mut [f32]) {
    let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
    let rest_start = blocks.len() * BLOCK;
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut totals = [0.0f32; BLOCK];
        for (row, factor) in rows {
            if let Some(row) = row
                .get(index * BLOCK..)
                .and_then(|row| row.first_chunk::<BLOCK>())
            {
                for (total, byte) in totals.iter_mut().zip(row) {
                    *total += factor * f32::from(*byte as i8);
                }
            }
        }
        *block = totals;
    }
    for (row, factor) in rows {
        let row = row.get(rest_start..).unwrap_or_default();
        for (sum, byte) in rest.iter_mut().zip(row) {
            *sum += factor * f32::from(*byte as i8);
        }
    }
}

/// A row of k numbers times a k × n matrix in row-major order, n being `product.len()`.
pub fn row_times(row: &[f32], matrix: &[f32], product: &mut [f32]) {
    let columns = product.len();
    if columns == 0 {
        return;
    }
    // The weights of padding are zeros at the end of the row: a prompt of ten tokens costs ten rows, not 256.
    let used = row.iter().rposition(|factor| *factor != 0.0);
    let row = row.get(..used.map_or(0, |last| last + 1)).unwrap_or(row);
    let (blocks, rest) = product.as_chunks_mut::<BLOCK>();
    let rest_start = blocks.len() * BLOCK;
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut sums = [0.0f32; BLOCK];
        for (factor, line) in row.iter().zip(matrix.chunks_exact(columns)) {
            if let Some(line) = line
                .get(index * BLOCK..)
                .and_then(|line| line.first_chunk::<BLOCK>())
            {
                for (sum, weight) in sums.iter_mut().zip(line) {
                    *sum += factor * weight;
                }
            }
        }
        *block = sums;
    }
    for (factor, line) in row.iter().zip(matrix.chunks_exact(columns)) {
        for (sum, weight) in rest
            .iter_mut()
            .zip(line.get(rest_start..).unwrap_or_default())
        {
            *sum += factor * weight;
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sum_rows_is_the_weighted_sum_for_any_width() {
        for columns in [0, 1, 15, 16, 17, 64] {
            let table: Vec<u8> = (0..3 * columns).map(|i| (i * 37) as u8).collect();
            let row = |k: usize| &table[k * columns..(k + 1) * columns];
            let rows = [(row(2), 0.5), (row(0), -2.0), (row(2), 0.25)];
            let mut sums = vec![0.0; columns];
            sum_rows(&rows, &mut sums);
            for (column, sum) in sums.iter().enumerate() {
                let of = |k: usize| f32::from(row(k)[column] as i8);
                assert_eq!(*sum, 0.75 * of(2) - 2.0 * of(0), "column {column}");
            }
        }
    }

    #[test]
    fn row_times_is_the_matrix_product_for_any_width() {
        for columns in [0, 1, 15, 16, 17, 44, 64] {
            let mut row: Vec<f32> = (0..7).map(|i| i as f32 - 3.0).collect();
            row[6] = 0.0;
            let matrix: Vec<f32> = (0..7 * columns).map(|i| (i % 11) as f32).collect();
            let mut product = vec![0.0; columns];
            row_times(&row, &matrix, &mut product);
            for (column, value) in product.iter().enumerate() {
                let expected: f32 = (0..7).map(|k| row[k] * matrix[k * columns + column]).sum();
                assert_eq!(*value, expected, "column {column} of {columns}");
            }
        }
    }
}
