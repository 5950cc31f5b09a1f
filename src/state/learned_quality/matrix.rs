//! Small symmetric positive definite matrices, and equations with them.

/// A square matrix; after [`Matrix::factor`] the lower triangle of its Cholesky factor.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// The matrix with this diagonal, and 0 elsewhere.
    pub(super) fn diagonal(values: &[f64]) -> Matrix {
        let size = values.len();
        let mut matrix = Matrix {
            size,
            values: vec![0.0; size * size],
        };
        for (at, value) in values.iter().enumerate() {
            matrix.add(at, at, *value);
        }
        matrix
    }

    pub(super) fn add(&mut self, row: usize, column: usize, value: f64) {
        if let Some(own) = self.values.get_mut(row * self.size + column) {
            *own += value;
        }
    }

    /// Adds to an element and to the one that mirrors it.
    pub(super) fn add_symmetric(&mut self, row: usize, column: usize, value: f64) {
        self.add(row, column, value);
        if row != column {
            self.add(column, row, value);
        }
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.row(row).get(column).copied().unwrap_or_default()
    }

    pub(super) fn row(&self, at: usize) -> &[f64] {
        self.values
            .get(at * self.size..(at + 1) * self.size)
            .unwrap_or(&[])
    }

    /// The matrix, times a number.
    pub(super) fn scaled(&self, times: f64) -> Matrix {
        let values = self.values.iter().map(|value| value * times);
        Matrix {
            size: self.size,
            values: values.collect(),
        }
    }

    /// Of a factor L the logarithm of the determinant of L · Lᵀ.
    pub(super) fn log_determinant(&self) -> f64 {
        let diagonal = (0..self.size).map(|at| self.at(at, at).ln());
        2.0 * diagonal.sum::<f64>()
    }

    /// Its Cholesky factor L, with L · Lᵀ = the matrix.
    pub(super) fn factor(mut self) -> Matrix {
        for row in 0..self.size {
            for column in 0..=row {
                let known = self.row(row).iter().zip(self.row(column)).take(column);
                let known: f64 = known.map(|(left, right)| left * right).sum();
                let value = self.at(row, column) - known;
                let factor = if column == row {
                    value.max(1e-12).sqrt()
                } else {
                    value / self.at(column, column)
                };
                if let Some(own) = self.values.get_mut(row * self.size + column) {
                    *own = factor;
                }
            }
        }
        self
    }

    /// Of a factor L the x with L · x = `right`.
    pub(super) fn forward(&self, right: &[f64]) -> Vec<f64> {
        let mut found: Vec<f64> = Vec::with_capacity(self.size);
        for (at, value) in right.iter().enumerate() {
            let known: f64 = self.row(at).iter().zip(&found).map(|(a, b)| a * b).sum();
            found.push((value - known) / self.at(at, at));
        }
        found
    }

    /// Of a factor L the x with L · Lᵀ · x = `right`.
    pub(super) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut found = self.forward(right);
        for at in (0..self.size).rev() {
            let behind = found.get(at + 1..).unwrap_or(&[]).iter();
            let known: f64 = behind
                .enumerate()
                .map(|(row, value)| self.at(at + 1 + row, at) * value)
                .sum();
            let diagonal = self.at(at, at);
            if let Some(own) = found.get_mut(at) {
                *own = (*own - known) / diagonal;
            }
        }
        found
    }
}

/// The sum of the products.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let mut matrix = Matrix::diagonal(&[4.0, 3.0]);
        matrix.add_symmetric(0, 1, 2.0);
        let found = matrix.factor().solve(&[8.0, 7.0]);
        let off = found
            .iter()
            .zip([1.25, 1.5])
            .map(|(own, wanted)| own - wanted);
        assert!(off.into_iter().all(|off| off.abs() < 1e-12), "{found:?}");
    }
}
