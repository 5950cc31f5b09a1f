//! From sums to what is believed of each model: the most probable parameters, and how sure they are.
//!
//! logit → (1 + s + sₘ) · logit + o + oₘ + tₖ + tₘₖ + (f + fₘ) · φ: a scale, an offset, an offset for each task k and a
//! weight for each latent factor of the prompt, each shared by all models and each model's own, all with a Gaussian prior
//! around zero. So outcomes of one model also say, weakly, what to expect of the others. The parameters of all models are found at
//! once, in one step each, because the likelihood is a parabola; then the bins of the prior's logit correct its level and scale.

use super::matrix::Matrix;
use super::sums::{Bin, ModelSums, NUMBERS};
use crate::analysis::classifier::{LATENT_COUNT, TASK_COUNT};
use crate::fleet::ability::Calibration;

/// Standard deviations of the parameters before an outcome is seen, shared and own. The best of some twenty sets on four
/// outcome files: docs/learning.md.
const SCALE: [f64; 2] = [0.3, 0.1];
const OFFSET: [f64; 2] = [1.0, 0.6];
const TASK: [f64; 2] = [0.25, 0.15];
const FACTOR: [f64; 2] = [0.07, 0.1];
/// The same of the correction by bins: scale and offset.
const BIN_SCALE: [f64; 2] = [0.1, 0.1];
const BIN_OFFSET: [f64; 2] = [0.15, 0.15];
/// Outcomes of a model that its benchmark scores count as much as, where these deviations hold.
pub const PRIOR_MASS: f64 = 14.0;

/// Parameters: the scale, the factors, the offset, the tasks.
const SIZE: usize = NUMBERS + 1 + TASK_COUNT;
const OFFSET_AT: usize = NUMBERS;
const ROUNDS: usize = 8;

/// The belief about a model after outcomes, its own and those of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
    /// The change of the expected logit.
    pub calibration: Calibration,
    /// By task, the standard deviation of the logit of a prompt of that task.
    pub deviations: [f32; TASK_COUNT],
    /// The model's outcomes, by their weight.
    pub count: f32,
    /// The mean quality over the prompts of its outcomes; `None` without any.
    pub quality: Option<MeanQuality>,
}

/// A mean probability of a correct answer over the prompts of a model's outcomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanQuality {
    /// By benchmark scores and calibration alone.
    pub stated: f32,
    /// After the outcomes.
    pub learned: f32,
    /// The bounds between which it lies with nine chances in ten.
    pub range: [f32; 2],
}

/// The belief about each model. `prior_mass` is how many outcomes of a model its benchmark scores count as much as.
///
/// Models without outcomes may be left out of `models`: they have the last element of the result, which is what holds for a
/// model of which nothing is known.
pub fn fit(models: &[&ModelSums], prior_mass: f64) -> Vec<Learned> {
    let stiffness = (prior_mass / PRIOR_MASS).max(1e-3);
    let nothing = ModelSums::default();
    let blocks: Vec<Block> = models
        .iter()
        .copied()
        .chain([&nothing])
        .map(|sums| Block::new(sums, stiffness))
        .collect();
    let mut system = Matrix::diagonal(&prior(0, stiffness));
    let mut right = vec![0.0; SIZE];
    for block in &blocks {
        block.add_to(&mut system, &mut right);
    }
    let shared_factor = system.factor();
    let shared = shared_factor.solve(&right);
    let mut learned: Vec<(Vec<f64>, &Block)> = blocks
        .iter()
        .map(|block| (block.parameters(&shared), block))
        .collect();
    correct(&mut learned);
    learned
        .iter()
        .map(|(parameters, block)| {
            let deviations = block.deviations(&shared_factor);
            Learned {
                calibration: calibration(parameters),
                deviations,
                count: block.count as f32,
                quality: block.mean_quality(parameters, &deviations),
            }
        })
        .collect()
}

/// By how much a calibration lowers the log-loss of outcomes, in nats, in sum: a lower bound, as the parabola lies nowhere above the
/// likelihood. For outcomes that the calibration was not fitted to.
pub fn gain(sums: &ModelSums, calibration: &Calibration) -> f64 {
    let block = Block::new(sums, 1.0);
    let parameters = parameters_of(calibration);
    let rows = (0..SIZE).map(|row| dot(block.curvature.row(row), &parameters));
    let bent: f64 = rows.zip(&parameters).map(|(row, own)| row * own).sum();
    dot(&block.slope, &parameters) - bent / 2.0
}

/// Groups of outcomes with about the same prior logit: of each its number, the mean score, and the expected scores without and with
/// a calibration.
pub fn reliability(sums: &ModelSums, calibration: &Calibration) -> impl Iterator<Item = [f64; 4]> {
    let parameters = parameters_of(calibration);
    let bins: Vec<Bin> = sums.bins().filter(|bin| bin.count() > 0.0).collect();
    bins.into_iter().map(move |bin| {
        let p = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        let [logit, count, score] = cell(&parameters, &bin);
        let stated = bin.numbers.first().map_or(0.0, |sum| sum / count);
        [count, score / count, p(stated), p(logit)]
    })
}

/// Precisions of the parameters before an outcome is seen: shared (0) or own (1).
fn prior(which: usize, stiffness: f64) -> Vec<f64> {
    let precision = |deviations: [f64; 2]| {
        let deviation = deviations.get(which).copied().unwrap_or(1.0);
        stiffness / (deviation * deviation)
    };
    let mut all = vec![precision(FACTOR); SIZE];
    for (at, place) in all.iter_mut().enumerate() {
        match at {
            0 => *place = precision(SCALE),
            OFFSET_AT => *place = precision(OFFSET),
            at if at > OFFSET_AT => *place = precision(TASK),
            _ => {}
        }
    }
    all
}

/// One model's share of the equations.
struct Block {
    /// Curvature of the likelihood.
    curvature: Matrix,
    /// Its slope at no change.
    slope: Vec<f64>,
    /// The factor of curvature and own prior.
    own: Matrix,
    own_prior: Vec<f64>,
    bins: Vec<Bin>,
    count: f64,
    /// The mean of the numbers of all outcomes.
    means: [f64; NUMBERS],
}

impl Block {
    fn new(sums: &ModelSums, stiffness: f64) -> Block {
        let mut curvature = Matrix::diagonal(&[0.0; SIZE]);
        let mut slope = vec![0.0; SIZE];
        for second in 0..NUMBERS {
            for first in 0..=second {
                curvature.add_symmetric(first, second, sums.pair_curvature(first, second));
            }
            increase(&mut slope, second, sums.number_slope(second));
        }
        for task in 0..TASK_COUNT {
            let at = OFFSET_AT + 1 + task;
            let own = sums.task_curvature(task, None);
            curvature.add_symmetric(at, at, own);
            curvature.add_symmetric(OFFSET_AT, at, own);
            curvature.add_symmetric(OFFSET_AT, OFFSET_AT, own);
            for number in 0..NUMBERS {
                let own = sums.task_curvature(task, Some(number));
                curvature.add_symmetric(number, at, own);
                curvature.add_symmetric(number, OFFSET_AT, own);
            }
            let own = sums.task_slope(task);
            increase(&mut slope, at, own);
            increase(&mut slope, OFFSET_AT, own);
        }
        let mut bins: Vec<Bin> = sums.bins().filter(|bin| bin.count() > 0.0).collect();
        let count: f64 = bins.iter().map(Bin::count).sum();
        let mut means = [0.0; NUMBERS];
        for bin in &bins {
            for (mean, sum) in means.iter_mut().zip(bin.numbers) {
                *mean += sum / count;
            }
        }
        let excess = hostile(sums, count);
        for bin in &mut bins {
            let part = excess * bin.count() / count;
            bin.score = (bin.score - part).clamp(0.0, bin.count());
            for (task, own) in bin.tasks.iter().enumerate() {
                let part = excess * own / count;
                increase(&mut slope, OFFSET_AT + 1 + task, -part);
                increase(&mut slope, OFFSET_AT, -part);
            }
            for (number, sum) in bin.numbers.iter().enumerate() {
                increase(&mut slope, number, -excess * sum / count);
            }
        }
        let own_prior = prior(1, stiffness);
        let mut own = curvature.clone();
        for (at, precision) in own_prior.iter().enumerate() {
            own.add(at, at, *precision);
        }
        Block {
            curvature,
            slope,
            own: own.factor(),
            own_prior,
            bins,
            count,
            means,
        }
    }

    /// Adds what this model says of the shared parameters, its own integrated out.
    fn add_to(&self, system: &mut Matrix, right: &mut [f64]) {
        if self.count <= 0.0 && self.slope.iter().all(|value| *value == 0.0) {
            return;
        }
        let reduced: Vec<Vec<f64>> = (0..SIZE)
            .map(|column| self.own.forward(self.curvature.row(column)))
            .collect();
        let slope = self.own.forward(&self.slope);
        for (row, left) in reduced.iter().enumerate() {
            for (column, other) in reduced.iter().enumerate().take(row + 1) {
                let own = self.curvature.at(row, column) - dot(left, other);
                system.add_symmetric(column, row, own);
            }
            let own = self.slope.get(row).copied().unwrap_or_default() - dot(left, &slope);
            increase(right, row, own);
        }
    }

    /// Shared and own parameters together.
    fn parameters(&self, shared: &[f64]) -> Vec<f64> {
        let rest: Vec<f64> = (0..SIZE)
            .map(|row| {
                self.slope.get(row).copied().unwrap_or_default()
                    - dot(self.curvature.row(row), shared)
            })
            .collect();
        let own = self.own.solve(&rest);
        own.iter().zip(shared).map(|(own, all)| own + all).collect()
    }

    /// The mean quality before and after.
    fn mean_quality(
        &self,
        parameters: &[f64],
        deviations: &[f32; TASK_COUNT],
    ) -> Option<MeanQuality> {
        if self.count <= 0.0 {
            return None;
        }
        let p = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        let (mut deviation, mut learned, mut stated) = (0.0, 0.0, 0.0);
        for bin in &self.bins {
            let [logit, count, _] = cell(parameters, bin);
            learned += count * p(logit) / self.count;
            stated += count * p(bin.numbers.first().map_or(0.0, |sum| sum / count)) / self.count;
            let tasks = bin.tasks.iter().zip(deviations);
            deviation += tasks
                .map(|(count, own)| count * f64::from(*own) / self.count)
                .sum::<f64>();
        }
        let logit = (learned / (1.0 - learned).max(1e-9)).max(1e-9).ln();
        let bound = |sign: f64| p(logit + sign * 1.645 * deviation) as f32;
        Some(MeanQuality {
            stated: stated as f32,
            learned: learned as f32,
            range: [bound(-1.0), bound(1.0)],
        })
    }

    /// By task, the standard deviation of the logit of a prompt of it that is otherwise as the model's outcomes were.
    fn deviations(&self, shared: &Matrix) -> [f32; TASK_COUNT] {
        let mut deviations = [0.0; TASK_COUNT];
        for (task, deviation) in deviations.iter_mut().enumerate() {
            let mut prompt = vec![0.0; SIZE];
            for (place, mean) in prompt.iter_mut().zip(self.means) {
                *place = mean;
            }
            increase(&mut prompt, OFFSET_AT, 1.0);
            increase(&mut prompt, OFFSET_AT + 1 + task, 1.0);
            let own = self.own.solve(&prompt);
            let carried: Vec<f64> = own
                .iter()
                .zip(&self.own_prior)
                .map(|(own, prior)| own * prior)
                .collect();
            let variance = dot(&prompt, &own) + dot(&carried, &shared.solve(&carried));
            *deviation = variance.max(0.0).sqrt() as f32;
        }
        deviations
    }
}

fn increase(values: &mut [f64], at: usize, value: f64) {
    if let Some(place) = values.get_mut(at) {
        *place += value;
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

/// Beyond chance, groups of tenants may differ by so much in how often a model satisfies them.
const TOLERATED: f64 = 0.05;
/// Standard deviations that are chance.
const CHANCE: f64 = 2.5;
/// The fewest groups with outcomes that tell which of them is the odd one.
const LEAST_GROUPS: usize = 4;

/// By how much the scores of a model are off in sum because a few groups of tenants contradict all others: a group that is
/// farther from the median of the groups than chance explains counts as the median does. 0 if there are too few groups to tell.
fn hostile(sums: &ModelSums, count: f64) -> f64 {
    let mut groups: Vec<(f64, f64)> = sums
        .groups()
        .filter(|(count, _)| *count >= 1.0)
        .map(|(count, surprise)| (surprise / count, count))
        .collect();
    if groups.len() < LEAST_GROUPS {
        return 0.0;
    }
    groups.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut below = 0.0;
    let median = groups.iter().find(|(_, own)| {
        below += own;
        below >= count / 2.0
    });
    let Some((median, _)) = median else {
        return 0.0;
    };
    let excess = groups.iter().map(|(mean, count)| {
        let bound = TOLERATED + CHANCE * (0.2 / count).sqrt();
        let apart = mean - median;
        if apart.abs() > bound {
            count * apart
        } else {
            0.0
        }
    });
    excess.sum()
}

/// Corrects the level and the scale of each model's logit so that each bin's expected score is the observed one, as far as
/// the outcomes are worth it. Two parameters a model, again shared and own, by Newton's method.
fn correct(learned: &mut [(Vec<f64>, &Block)]) {
    let cells: Vec<Vec<[f64; 3]>> = learned
        .iter()
        .map(|(parameters, block)| block.bins.iter().map(|bin| cell(parameters, bin)).collect())
        .collect();
    let mut found = vec![[0.0; 2]; learned.len()];
    for _ in 0..ROUNDS {
        found = newton_step(&cells, &found);
    }
    for ((parameters, _), [scale, offset]) in learned.iter_mut().zip(found) {
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
fn cell(parameters: &[f64], bin: &Bin) -> [f64; 3] {
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
fn newton_step(cells: &[Vec<[f64; 3]>], found: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let shared_prior = [BIN_SCALE[0].powi(-2), BIN_OFFSET[0].powi(-2)];
    let own_prior = [BIN_SCALE[1].powi(-2), BIN_OFFSET[1].powi(-2)];
    let mut system = [[shared_prior[0], 0.0], [0.0, shared_prior[1]]];
    let mut right = [0.0; 2];
    let mut parts = Vec::with_capacity(cells.len());
    for (cells, [scale, offset]) in cells.iter().zip(found) {
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

/// A calibration as parameters.
fn parameters_of(calibration: &Calibration) -> Vec<f64> {
    let mut parameters = vec![f64::from(calibration.scale) - 1.0];
    parameters.extend(calibration.factors.map(f64::from));
    parameters.push(calibration.offset.into());
    parameters.extend(calibration.tasks.map(f64::from));
    parameters
}

/// Parameters as a calibration. A scale below nothing would turn the order of prompts around.
fn calibration(parameters: &[f64]) -> Calibration {
    let at = |place: usize| parameters.get(place).copied().unwrap_or_default() as f32;
    let mut calibration = Calibration {
        scale: (1.0 + at(0)).max(0.05),
        offset: at(OFFSET_AT),
        ..Calibration::NEUTRAL
    };
    for (task, offset) in calibration.tasks.iter_mut().enumerate() {
        *offset = at(OFFSET_AT + 1 + task);
    }
    for (factor, weight) in calibration
        .factors
        .iter_mut()
        .enumerate()
        .take(LATENT_COUNT)
    {
        *weight = at(1 + factor);
    }
    calibration
}
