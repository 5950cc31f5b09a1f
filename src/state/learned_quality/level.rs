//! Corrects what the parabola misses: it falls short where outcomes are far from expected. The bins of the prior's logit tell.

use super::matrix::dot;
use super::sums::{Bin, NUMBERS};

/// Standard deviations of the correction before an outcome is seen, shared and own: scale and offset.
const BIN_SCALE: [f64; 2] = [0.1, 0.1];
const BIN_OFFSET: [f64; 2] = [0.15, 0.15];
const ROUNDS: usize = 8;
/// The place of the offset among the parameters: behind the scale and the factors.
const OFFSET_AT: usize = NUMBERS;

/// Corrects the level and the scale of each model's logit so that each bin's expected score is the observed one, as far as
/// the outcomes are worth it. Two parameters a model, again shared and own, by Newton's method. `widths` are the parts of the own
/// deviations that hold for each model.
pub(super) fn correct(all: &mut [Vec<f64>], bins: &[&[Bin]], widths: &[f64]) {
    let cells: Vec<Vec<[f64; 3]>> = all
        .iter()
        .zip(bins)
        .map(|(parameters, bins)| bins.iter().map(|bin| cell(parameters, bin)).collect())
        .collect();
    let mut found = vec![[0.0; 2]; all.len()];
    for _ in 0..ROUNDS {
        found = newton_step(&cells, &found, widths);
    }
    for (parameters, [scale, offset]) in all.iter_mut().zip(found) {
        let factor = 1.0 + scale;
        for (at, value) in parameters.iter_mut().enumerate() {
            // The first parameter is the scale less 1.
            *value = match at {
                0 => (1.0 + *value) * factor - 1.0,
                OFFSET_AT => *value * factor + offset,
                _ => *value * factor,
            };
        }
    }
}

/// The mean logit of a bin under the parameters, its outcomes, their scores.
pub(super) fn cell(parameters: &[f64], bin: &Bin) -> [f64; 3] {
    let count = bin.count();
    let numbers = dot(parameters, &bin.numbers);
    let [logit, ..] = bin.numbers;
    let tasks = parameters
        .get(OFFSET_AT + 1..)
        .map_or(0.0, |own| dot(own, &bin.tasks));
    let offset = parameters.get(OFFSET_AT).copied().unwrap_or_default();
    [(logit + numbers + tasks) / count + offset, count, bin.score]
}

/// One step of Newton's method for scale and offset of each model.
fn newton_step(cells: &[Vec<[f64; 3]>], found: &[[f64; 2]], widths: &[f64]) -> Vec<[f64; 2]> {
    let shared_prior = [BIN_SCALE[0].powi(-2), BIN_OFFSET[0].powi(-2)];
    let mut system = [[shared_prior[0], 0.0], [0.0, shared_prior[1]]];
    let mut right = [0.0; 2];
    let mut parts = Vec::with_capacity(cells.len());
    for ((cells, [scale, offset]), width) in cells.iter().zip(found).zip(widths) {
        let own_prior = [BIN_SCALE[1], BIN_OFFSET[1]].map(|own| (own * width).powi(-2));
        let (mut bend, mut slope) = ([[0.0; 2]; 2], [0.0; 2]);
        for [logit, count, score] in cells {
            let moved = logit + scale * logit + offset;
            let p = 1.0 / (1.0 + (-moved).exp());
            let weight = count * (p * (1.0 - p)).max(0.01);
            let target = score - count * p + weight * (moved - logit);
            bend[0][0] += weight * logit * logit;
            bend[0][1] += weight * logit;
            bend[1][1] += weight;
            slope[0] += target * logit;
            slope[1] += target;
        }
        bend[1][0] = bend[0][1];
        let own = inverse([
            [bend[0][0] + own_prior[0], bend[0][1]],
            [bend[1][0], bend[1][1] + own_prior[1]],
        ]);
        let carried = product(bend, own);
        let reduced = product(carried, bend);
        let moved = apply(carried, slope);
        for row in 0..2 {
            for column in 0..2 {
                let by = element(bend, row, column) - element(reduced, row, column);
                if let Some(place) = system.get_mut(row).and_then(|row| row.get_mut(column)) {
                    *place += by;
                }
            }
        }
        right = [
            right[0] + slope[0] - moved[0],
            right[1] + slope[1] - moved[1],
        ];
        parts.push((bend, slope, own));
    }
    let shared = apply(inverse(system), right);
    parts
        .into_iter()
        .map(|(bend, slope, own)| {
            let taken = apply(bend, shared);
            let alone = apply(own, [slope[0] - taken[0], slope[1] - taken[1]]);
            [shared[0] + alone[0], shared[1] + alone[1]]
        })
        .collect()
}

type Square = [[f64; 2]; 2];

fn element(matrix: Square, row: usize, column: usize) -> f64 {
    let row = matrix.get(row).copied().unwrap_or_default();
    row.get(column).copied().unwrap_or_default()
}

fn inverse([[a, b], [c, d]]: Square) -> Square {
    let determinant = (a * d - b * c).max(1e-12);
    [
        [d / determinant, -b / determinant],
        [-c / determinant, a / determinant],
    ]
}

fn product(left: Square, right: Square) -> Square {
    let [[a, b], [c, d]] = left;
    let [[e, f], [g, h]] = right;
    [
        [a * e + b * g, a * f + b * h],
        [c * e + d * g, c * f + d * h],
    ]
}

fn apply([[a, b], [c, d]]: Square, [x, y]: [f64; 2]) -> [f64; 2] {
    [a * x + b * y, c * x + d * y]
}
