//! From sums to what is believed of each model: the most probable parameters, and how sure they are.
//!
//! logit → (1 + s + sₘ) · logit + o + oₘ + tₖ + tₘₖ + (f + fₘ) · φ: a scale, an offset, an offset for each task k and a
//! weight for each latent factor of the prompt, each shared by all models and each model's own, all with a Gaussian prior
//! around zero. So outcomes of one model also say, weakly, what to expect of the others. The shared parameters of all models are
//! found at once, in one step, because the likelihood is a parabola.
//!
//! How far a model is from its scores differs by model: most of a fleet are about where their scores place them, some are not.
//! Were every model's own prior as wide as that of the odd one, each of many models with few outcomes would move by chance,
//! and the one that moved up most would be chosen (the winner's curse). So a model is of one of a few [`KINDS`], each with its own
//! width; how probable each kind is, the outcomes of the model tell, and how frequent it is, those of the fleet. At last the bins
//! of the prior's logit correct level and scale ([`super::level`]).

use super::level;
use super::matrix::{Matrix, dot};
use super::sums::{Bin, ModelSums, NUMBERS};
use crate::analysis::classifier::{LATENT_COUNT, TASK_COUNT};
use crate::fleet::ability::Calibration;
use crate::sort;

/// Standard deviations of the parameters before an outcome is seen, shared and own. The best of some thirty sets on four
/// outcome files: docs/learning.md.
const SCALE: [f64; 2] = [0.3, 0.1];
const OFFSET: [f64; 2] = [1.0, 0.6];
const TASK: [f64; 2] = [0.25, 0.15];
const FACTOR: [f64; 2] = [0.07, 0.1];
/// Kinds of models: the parts of their own offset's standard deviation, and of that of their other own parameters. Those that
/// are where their scores place them, those near it, and the others.
const KINDS: [[f64; 2]; 3] = [[0.05, 0.05], [0.3, 0.5], [1.0, 1.0]];
/// So many models, a third of each kind, are added to those of the fleet before the frequencies of the kinds are found.
const ADDED_MODELS: f64 = 2.0;
const KIND_ROUNDS: usize = 5;
/// Answers of several models to one prompt have the luck of the prompt in common, which does not blur the difference between the
/// models: as measured on labelled prompts, this part of the variance is left.
const TOGETHER: f64 = 0.5;
/// A kind of this probability is left out where it costs time: it changes a deviation by less than a tenth.
const UNLIKELY: f64 = 0.01;
/// Outcomes of a model that its benchmark scores count as much as, where these deviations hold.
pub const PRIOR_MASS: f64 = 14.0;

/// Parameters: the scale, the factors, the offset, the tasks.
const SIZE: usize = NUMBERS + 1 + TASK_COUNT;
const OFFSET_AT: usize = NUMBERS;

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
    let mut system = Matrix::diagonal(&prior(&SHARED, stiffness));
    let mut right = vec![0.0; SIZE];
    for block in &blocks {
        block.add_to(&mut system, &mut right);
    }
    let shared_factor = system.factor();
    let shared = shared_factor.solve(&right);
    let guesses: Vec<Vec<Guess>> = blocks.iter().map(|block| block.guesses(&shared)).collect();
    let weights = weigh(&blocks, &guesses);
    let mut all: Vec<Vec<f64>> = guesses
        .iter()
        .zip(&weights)
        .map(|(guesses, weights)| mean(guesses, weights, &shared))
        .collect();
    let widths: Vec<f64> = weights
        .iter()
        .map(|weights| {
            weights
                .iter()
                .zip(KINDS)
                .map(|(own, [_, width])| own * width)
                .sum()
        })
        .collect();
    let bins: Vec<&[Bin]> = blocks.iter().map(|block| block.bins.as_slice()).collect();
    level::correct(&mut all, &bins, &widths);
    let fitted = blocks.iter().zip(&all).zip(guesses.iter().zip(&weights));
    fitted
        .map(|((block, parameters), (guesses, weights))| {
            let deviations = block.deviations(&shared_factor, guesses, weights);
            Learned {
                calibration: calibration(parameters),
                deviations,
                count: block.count as f32,
                quality: block.mean_quality(parameters, &deviations),
            }
        })
        .collect()
}

/// The weight of each kind for each model: its evidence, times how frequent the kind is in the fleet.
#[inline(never)]
fn weigh(blocks: &[Block], guesses: &[Vec<Guess>]) -> Vec<[f64; KINDS.len()]> {
    let even = 1.0 / KINDS.len() as f64;
    let mut frequency = [even; KINDS.len()];
    let known = blocks.iter().filter(|block| block.knows()).count() as f64;
    let mut weights = vec![frequency; guesses.len()];
    for _ in 0..=KIND_ROUNDS {
        let mut seen = [ADDED_MODELS * even; KINDS.len()];
        for ((weights, guesses), block) in weights.iter_mut().zip(guesses).zip(blocks) {
            let evidence = guesses.iter().map(|guess| guess.evidence);
            let most = evidence.clone().fold(f64::NEG_INFINITY, f64::max);
            let parts = weights.iter_mut().zip(evidence).zip(&frequency);
            let mut sum = 0.0;
            for ((weight, evidence), frequency) in parts {
                *weight = frequency * (evidence - most).exp();
                sum += *weight;
            }
            for (weight, seen) in weights.iter_mut().zip(&mut seen) {
                *weight /= sum;
                *seen += if block.knows() { *weight } else { 0.0 };
            }
        }
        frequency = seen.map(|seen| seen / (known + ADDED_MODELS));
    }
    weights
}

/// The parameters of a model: the shared ones, and its own in the mean of the kinds.
fn mean(guesses: &[Guess], weights: &[f64], shared: &[f64]) -> Vec<f64> {
    let mut all = shared.to_vec();
    for (guess, weight) in guesses.iter().zip(weights) {
        for (place, own) in all.iter_mut().zip(&guess.own) {
            *place += weight * own;
        }
    }
    all
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
        let [logit, count, score] = level::cell(&parameters, &bin);
        let stated = bin.numbers.first().map_or(0.0, |sum| sum / count);
        [count, score / count, p(stated), p(logit)]
    })
}

/// Standard deviations of parameters before an outcome is seen.
struct Spread {
    scale: f64,
    offset: f64,
    task: f64,
    factor: f64,
}

const SHARED: Spread = Spread {
    scale: SCALE[0],
    offset: OFFSET[0],
    task: TASK[0],
    factor: FACTOR[0],
};

/// Those of a model's own parameters if it is of a kind.
const fn own_spread([offset, others]: [f64; 2]) -> Spread {
    Spread {
        scale: SCALE[1] * others,
        offset: OFFSET[1] * offset,
        task: TASK[1] * others,
        factor: FACTOR[1] * others,
    }
}

/// Precisions of the parameters before an outcome is seen.
#[inline(never)]
fn prior(spread: &Spread, stiffness: f64) -> Vec<f64> {
    let precision = |deviation: f64| stiffness / (deviation * deviation);
    let mut all = vec![precision(spread.factor); SIZE];
    for (at, place) in all.iter_mut().enumerate() {
        match at {
            0 => *place = precision(spread.scale),
            OFFSET_AT => *place = precision(spread.offset),
            at if at > OFFSET_AT => *place = precision(spread.task),
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
    /// The part of the variance that is left between models.
    together: f64,
    stiffness: f64,
    bins: Vec<Bin>,
    count: f64,
    /// The mean of the numbers of all outcomes.
    means: [f64; NUMBERS],
}

impl Block {
    #[inline(never)]
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
            bin.score = (bin.score - part).min(bin.count()).max(0.0); // the panic of `clamp` prints floats
            for (task, own) in bin.tasks.iter().enumerate() {
                let part = excess * own / count;
                increase(&mut slope, OFFSET_AT + 1 + task, -part);
                increase(&mut slope, OFFSET_AT, -part);
            }
            for (number, sum) in bin.numbers.iter().enumerate() {
                increase(&mut slope, number, -excess * sum / count);
            }
        }
        let shared = if count > 0.0 {
            sums.together() / count
        } else {
            0.0
        };
        Block {
            curvature,
            slope,
            together: 1.0 - (1.0 - TOGETHER) * shared.clamp(0.0, 1.0),
            stiffness,
            bins,
            count,
            means,
        }
    }

    /// Whether anything is known of the model.
    fn knows(&self) -> bool {
        self.count > 0.0 || self.slope.iter().any(|value| *value != 0.0)
    }

    /// The factor of the curvature, times `times`, and a prior.
    #[inline(never)]
    fn factor(&self, times: f64, prior: &[f64]) -> Matrix {
        let mut own = self.curvature.scaled(times);
        for (at, precision) in prior.iter().enumerate() {
            own.add(at, at, *precision);
        }
        own.factor()
    }

    /// Adds what this model says of the shared parameters, its own integrated out, as if it could be anywhere.
    #[inline(never)]
    fn add_to(&self, system: &mut Matrix, right: &mut [f64]) {
        if !self.knows() {
            return;
        }
        let factor = self.factor(1.0, &prior(&own_spread([1.0, 1.0]), self.stiffness));
        let reduced: Vec<Vec<f64>> = (0..SIZE)
            .map(|column| factor.forward(self.curvature.row(column)))
            .collect();
        let slope = factor.forward(&self.slope);
        for (row, left) in reduced.iter().enumerate() {
            for (column, other) in reduced.iter().enumerate().take(row + 1) {
                let own = self.curvature.at(row, column) - dot(left, other);
                system.add_symmetric(column, row, own);
            }
            let own = self.slope.get(row).copied().unwrap_or_default() - dot(left, &slope);
            increase(right, row, own);
        }
    }

    /// The model's own parameters by its kind, given the shared ones.
    fn guesses(&self, shared: &[f64]) -> Vec<Guess> {
        let rest: Vec<f64> = (0..SIZE)
            .map(|row| {
                let slope = self.slope.get(row).copied().unwrap_or_default();
                (slope - dot(self.curvature.row(row), shared)) / self.together
            })
            .collect();
        let guess = |kind: [f64; 2]| {
            let prior = prior(&own_spread(kind), self.stiffness);
            let factor = self.factor(1.0 / self.together, &prior);
            let own = factor.solve(&rest);
            let precision: f64 = prior.iter().map(|precision| precision.ln()).sum();
            Guess {
                evidence: (dot(&rest, &own) - factor.log_determinant() + precision) / 2.0,
                own,
                factor,
                prior,
            }
        };
        KINDS.map(guess).into()
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
            let [logit, count, _] = level::cell(parameters, bin);
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

    /// By task, the standard deviation of the logit of a prompt of it that is otherwise as the model's outcomes were: within each
    /// kind, and from kind to kind.
    fn deviations(&self, shared: &Matrix, guesses: &[Guess], weights: &[f64]) -> [f32; TASK_COUNT] {
        let mut deviations = [0.0; TASK_COUNT];
        for (task, deviation) in deviations.iter_mut().enumerate() {
            let mut prompt = vec![0.0; SIZE];
            for (place, mean) in prompt.iter_mut().zip(self.means) {
                *place = mean;
            }
            increase(&mut prompt, OFFSET_AT, 1.0);
            increase(&mut prompt, OFFSET_AT + 1 + task, 1.0);
            let (mut variance, mut mean, mut square) = (0.0, 0.0, 0.0);
            let likely = guesses.iter().zip(weights);
            for (guess, weight) in likely.filter(|(_, weight)| **weight > UNLIKELY) {
                let moved = dot(&prompt, &guess.own);
                mean += weight * moved;
                square += weight * moved * moved;
                variance += weight * guess.variance(&prompt, shared);
            }
            let variance = variance + square - mean * mean;
            *deviation = variance.max(0.0).sqrt() as f32;
        }
        deviations
    }
}

/// A model's own parameters if it is of a kind.
struct Guess {
    own: Vec<f64>,
    /// The logarithm of the probability of its outcomes, but for a constant of the model.
    evidence: f64,
    /// The factor of curvature and prior.
    factor: Matrix,
    prior: Vec<f64>,
}

impl Guess {
    /// The variance of the logit of a prompt.
    fn variance(&self, prompt: &[f64], shared: &Matrix) -> f64 {
        let own = self.factor.solve(prompt);
        let carried: Vec<f64> = own
            .iter()
            .zip(&self.prior)
            .map(|(own, prior)| own * prior)
            .collect();
        let carried = shared.forward(&carried);
        dot(prompt, &own) + dot(&carried, &carried)
    }
}

#[inline(never)]
fn increase(values: &mut [f64], at: usize, value: f64) {
    if let Some(place) = values.get_mut(at) {
        *place += value;
    }
}

/// Beyond chance, groups of tenants may differ by so much in how often a model satisfies them.
const TOLERATED: f64 = 0.05;
/// Standard deviations that are chance.
const CHANCE: f64 = 2.5;
/// The fewest groups with outcomes that tell which of them is the odd one.
const LEAST_GROUPS: usize = 4;

/// By how much the scores of a model are off in sum because a few groups of tenants contradict all others: a group that is
/// farther from the median of the groups than chance explains counts as the median does. 0 if there are too few groups to tell.
#[inline(never)]
fn hostile(sums: &ModelSums, count: f64) -> f64 {
    let mut groups: Vec<(f64, f64)> = sums
        .groups()
        .filter(|(count, _)| *count >= 1.0)
        .map(|(count, surprise)| (surprise / count, count))
        .collect();
    if groups.len() < LEAST_GROUPS {
        return 0.0;
    }
    sort::sort_by(&mut groups, |left, right| left.0.total_cmp(&right.0));
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

/// A calibration as parameters.
fn parameters_of(calibration: &Calibration) -> Vec<f64> {
    let mut parameters = vec![f64::from(calibration.scale) - 1.0];
    parameters.extend(calibration.factors.map(f64::from));
    parameters.push(calibration.offset.into());
    parameters.extend(calibration.tasks.map(f64::from));
    parameters
}

/// Parameters as a calibration. A scale below nothing would turn the order of prompts around.
#[inline(never)]
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
