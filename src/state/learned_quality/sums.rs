//! Sufficient statistics of outcomes: sums of integers, so that neither order nor grouping changes a bit of them.
//!
//! The model is a logistic regression. Its likelihood has no sums that suffice, but the parabola that touches it at the prior's logit
//! has: the curvature and the slope of each parameter. The parabola lies nowhere above the likelihood, so a fit to it never
//! overshoots, and touches it at the prior, so outcomes that are as expected change nothing. Where outcomes are far from
//! expected it falls short; counts in bins of the prior's logit correct that ([`super::posterior`]).

use super::tables::{LOGIT_STEPS, MAX_LOGIT, STEPS, curvature, probability, surprisal};
use crate::analysis::classifier::{Classification, LATENT_COUNT, TASK_COUNT, Task};

/// Steps of a weight: an outcome that counts in full has this many.
pub const FULL_WEIGHT: i64 = 16;
/// Steps of a score.
const SCORE_STEPS: f64 = 256.0;
/// One, in the steps of features.
const ONE: i64 = 16;

/// Features with a value of their own: the prior's logit and the latent factors. The task is a feature of the kind that one of
/// several is 1.
pub(super) const NUMBERS: usize = 1 + LATENT_COUNT;
const PAIRS: usize = NUMBERS * (NUMBERS + 1) / 2;
/// Bins of the prior's logit.
pub(super) const BINS: usize = 6;
/// Their upper edges, in steps of 1/16.
const EDGES: [i64; BINS - 1] = [-36, -16, 0, 16, 36];
const BIN_LEN: usize = TASK_COUNT + 1 + NUMBERS;
/// Groups of tenants that are compared with each other.
pub(super) const GROUPS: usize = 16;

// Where each kind of sum starts.
const TASK_CURVATURE: usize = 0;
const PAIR_CURVATURE: usize = TASK_CURVATURE + TASK_COUNT * (1 + NUMBERS);
const TASK_SLOPE: usize = PAIR_CURVATURE + PAIRS;
const NUMBER_SLOPE: usize = TASK_SLOPE + TASK_COUNT;
const BINS_AT: usize = NUMBER_SLOPE + NUMBERS;
const GROUPS_AT: usize = BINS_AT + BINS * BIN_LEN;
const RECENT: usize = GROUPS_AT + 2 * GROUPS;
const LOSS: usize = RECENT + 2;
const TOGETHER: usize = LOSS + 1;
/// How many sums there are of one model.
pub(super) const SUMS: usize = TOGETHER + 1;

/// The properties of a prompt, and of a model's chance with it, that outcomes are explained by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// The logit of a right answer that is expected of the model without any outcome, in steps of 1/16 from −8 to 8.
    logit: i64,
    task: usize,
    factors: [i8; LATENT_COUNT],
}

impl Features {
    /// The features of a prompt for a model whose expected logit is `logit`.
    pub fn new(logit: f32, classification: &Classification) -> Features {
        let most = MAX_LOGIT as f64;
        let steps = (f64::from(logit) * LOGIT_STEPS).round();
        Features {
            logit: steps.clamp(-most, most) as i64,
            task: (classification.task as usize).min(TASK_COUNT - 1),
            factors: classification.raw_factors,
        }
    }

    /// The kind of prompt.
    pub fn task(&self) -> Option<Task> {
        Task::ALL.get(self.task).copied()
    }

    fn numbers(&self) -> [i64; NUMBERS] {
        let mut numbers = [self.logit; NUMBERS];
        for (number, factor) in numbers.iter_mut().skip(1).zip(self.factors) {
            *number = i64::from(factor);
        }
        numbers
    }
}

/// The sums of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSums {
    values: Vec<i64>,
}

impl Default for ModelSums {
    fn default() -> ModelSums {
        ModelSums {
            values: vec![0; SUMS],
        }
    }
}

impl ModelSums {
    /// Sums as they were written; `None` if these are not as many as a model has.
    pub(super) fn from_values(values: Vec<i64>) -> Option<ModelSums> {
        (values.len() == SUMS).then_some(ModelSums { values })
    }

    pub(super) fn values(&self) -> &[i64] {
        &self.values
    }

    /// Adds an outcome: a score from 0 to 1 that counts by `weight` (in steps of 1/16), from a tenant of group `group`.
    pub fn add(&mut self, features: &Features, score: f64, weight: i64, group: u64) {
        let score = (score.clamp(0.0, 1.0) * SCORE_STEPS).round() as i64;
        let weight = weight.clamp(0, FULL_WEIGHT);
        let bend = curvature(features.logit);
        // In steps of 1/16384: (score − 1/2) − curvature · logit.
        let slope = (score - 128) * 64 - bend * features.logit;
        self.add_parabola(features, weight * bend, weight * slope);
        let numbers = features.numbers();
        let bin = EDGES.iter().filter(|edge| features.logit >= **edge).count();
        let start = BINS_AT + bin * BIN_LEN;
        self.add_at(start + features.task, weight);
        self.add_at(start + TASK_COUNT, weight * score);
        for (place, number) in numbers.iter().enumerate() {
            self.add_at(start + TASK_COUNT + 1 + place, weight * number);
        }
        // In steps of 1/4096.
        let loss = 4 * surprisal(features.logit) - score * features.logit;
        self.add_at(LOSS, weight * loss);
        // In steps of 1/1024.
        let surprise = weight * (score * 4 - probability(features.logit));
        let group = GROUPS_AT + 2 * (group % GROUPS as u64) as usize;
        for (at, value) in [weight, surprise].into_iter().enumerate() {
            self.add_at(group + at, value);
            self.add_at(RECENT + at, value);
        }
    }

    /// Adds that outcomes of this weight were of prompts of which other models have outcomes, too.
    pub fn add_together(&mut self, weight: i64) {
        self.add_at(TOGETHER, weight.clamp(0, FULL_WEIGHT));
    }

    /// Adds that this model's answer was compared with that of a model whose features are `other`; `share` is 1 if this one
    /// was preferred, 0 if the other was. Of the two models' sums each gets half of the effect.
    pub fn add_preference(&mut self, own: &Features, other: &Features, share: f64, weight: i64) {
        let share = (share.clamp(0.0, 1.0) * SCORE_STEPS).round() as i64;
        let weight = weight.clamp(0, FULL_WEIGHT);
        let apart = (own.logit - other.logit).clamp(-MAX_LOGIT, MAX_LOGIT);
        let bend = curvature(apart);
        let slope = (share - 128) * 64 - bend * apart;
        self.add_parabola(own, 2 * weight * bend, weight * slope);
    }

    fn add_parabola(&mut self, features: &Features, bend: i64, slope: i64) {
        let numbers = features.numbers();
        let task = TASK_CURVATURE + features.task * (1 + NUMBERS);
        self.add_at(task, bend * ONE * ONE);
        self.add_at(TASK_SLOPE + features.task, slope * ONE);
        let mut pair = PAIR_CURVATURE;
        for (place, number) in numbers.iter().enumerate() {
            self.add_at(task + 1 + place, bend * ONE * number);
            self.add_at(NUMBER_SLOPE + place, slope * number);
            for other in numbers.iter().take(place + 1) {
                self.add_at(pair, bend * number * other);
                pair += 1;
            }
        }
    }

    fn add_at(&mut self, place: usize, value: i64) {
        if let Some(sum) = self.values.get_mut(place) {
            *sum = sum.saturating_add(value);
        }
    }

    /// Adds the sums of `other`.
    pub fn merge(&mut self, other: &ModelSums) {
        for (own, new) in self.values.iter_mut().zip(&other.values) {
            *own = own.saturating_add(*new);
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|value| *value == 0)
    }

    /// How many outcomes were added, each by its weight; those forgotten in part count in part.
    pub fn count(&self) -> f64 {
        self.bins().map(|bin| bin.count()).sum()
    }

    /// How many of the outcomes are of prompts of which other models have outcomes, too.
    pub(super) fn together(&self) -> f64 {
        self.at(TOGETHER) / FULL_WEIGHT as f64
    }

    /// Outcomes of one task.
    pub fn count_of(&self, task: usize) -> f64 {
        self.bins()
            .map(|bin| bin.tasks.get(task).copied().unwrap_or(0.0))
            .sum()
    }

    /// The mean score of the outcomes; `None` without any.
    pub fn mean_score(&self) -> Option<f64> {
        let count = self.count();
        let score: f64 = self.bins().map(|bin| bin.score).sum();
        (count > 0.0).then(|| score / count)
    }

    /// The log-loss of the outcomes without what was learned, in nats, in sum.
    pub fn loss(&self) -> f64 {
        self.at(LOSS) / (FULL_WEIGHT as f64 * 4096.0)
    }

    fn at(&self, place: usize) -> f64 {
        self.values.get(place).copied().unwrap_or_default() as f64
    }

    /// The curvature between two features of which one is a task or the other too.
    pub(super) fn task_curvature(&self, task: usize, number: Option<usize>) -> f64 {
        let place = number.map_or(0, |number| 1 + number);
        let unit = (ONE * ONE * FULL_WEIGHT * STEPS) as f64;
        self.at(TASK_CURVATURE + task * (1 + NUMBERS) + place) / unit
    }

    /// The curvature between two numbers, of which the first stands no later.
    pub(super) fn pair_curvature(&self, first: usize, second: usize) -> f64 {
        let unit = (ONE * ONE * FULL_WEIGHT * STEPS) as f64;
        self.at(PAIR_CURVATURE + second * (second + 1) / 2 + first) / unit
    }

    pub(super) fn task_slope(&self, task: usize) -> f64 {
        self.at(TASK_SLOPE + task) / SLOPE_UNIT
    }

    pub(super) fn number_slope(&self, number: usize) -> f64 {
        self.at(NUMBER_SLOPE + number) / SLOPE_UNIT
    }

    /// The outcomes by the prior's logit.
    pub(super) fn bins(&self) -> impl Iterator<Item = Bin> + '_ {
        (0..BINS).map(|bin| {
            let start = BINS_AT + bin * BIN_LEN;
            let weight = FULL_WEIGHT as f64;
            let mut tasks = [0.0; TASK_COUNT];
            for (at, count) in tasks.iter_mut().enumerate() {
                *count = self.at(start + at) / weight;
            }
            let mut numbers = [0.0; NUMBERS];
            for (at, sum) in numbers.iter_mut().enumerate() {
                *sum = self.at(start + TASK_COUNT + 1 + at) / (weight * ONE as f64);
            }
            Bin {
                tasks,
                score: self.at(start + TASK_COUNT) / (weight * SCORE_STEPS),
                numbers,
            }
        })
    }

    /// Of each group of tenants, how many outcomes it gave and by how much they exceed what was expected, in sum.
    pub(super) fn groups(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        (0..GROUPS).map(|group| self.surprise(GROUPS_AT + 2 * group))
    }

    fn surprise(&self, place: usize) -> (f64, f64) {
        let weight = FULL_WEIGHT as f64;
        let surprise = self.at(place + 1) / (weight * STEPS as f64);
        (self.at(place) / weight, surprise)
    }

    /// Forgets in steps: each time that the latest eighth of `half_life` outcomes is complete, all outcomes count less by the
    /// eighth root of 2. If the latest are unlike those before by more than chance explains, the model has changed: then
    /// those before are moved to the new level, and all count a quarter. Within a step the order of outcomes does not matter.
    /// Never forgets if `half_life` is 0.
    pub fn forget(&mut self, half_life: u32) {
        let (count, surprise) = self.surprise(RECENT);
        let step = (f64::from(half_life) / 8.0).max(1.0);
        if half_life == 0 || count < step {
            return;
        }
        let (all, total) = self.groups().fold((0.0, 0.0), |(all, total), group| {
            (all + group.0, total + group.1)
        });
        let before = all - count;
        let mut kept = (-(count / f64::from(half_life))).exp2();
        if before >= step {
            let change = surprise / count - (total - surprise) / before;
            let mean = self.mean_score().unwrap_or(0.5).clamp(0.05, 0.95);
            let chance = (mean * (1.0 - mean) * (1.0 / count + 1.0 / before)).sqrt();
            if change.abs() > CHANGED * chance {
                self.shift(change * before / all);
                kept *= CHANGED_KEPT;
            }
        }
        let kept = (kept * 65_536.0) as i128;
        for sum in &mut self.values {
            *sum = ((i128::from(*sum) * kept) / 65_536) as i64;
        }
        for place in [RECENT, RECENT + 1] {
            if let Some(sum) = self.values.get_mut(place) {
                *sum = 0;
            }
        }
    }

    /// Restates all outcomes as if each score had been greater by `change`.
    fn shift(&mut self, change: f64) {
        let steps = (change * STEPS as f64) as i64;
        for start in (0..BINS).map(|bin| BINS_AT + bin * BIN_LEN) {
            let sum = |sums: &ModelSums, at: usize| {
                sums.values.get(start + at).copied().unwrap_or_default()
            };
            let mut count = 0;
            for task in 0..TASK_COUNT {
                let own = sum(self, task);
                count += own;
                self.add_at(TASK_SLOPE + task, own * steps * 16 * ONE);
            }
            for number in 0..NUMBERS {
                let own = sum(self, TASK_COUNT + 1 + number);
                self.add_at(NUMBER_SLOPE + number, own * steps * 16);
            }
            self.add_at(start + TASK_COUNT, count * steps / 4);
        }
        for place in (0..GROUPS).map(|group| GROUPS_AT + 2 * group) {
            let own = self.values.get(place).copied().unwrap_or_default();
            self.add_at(place + 1, own * steps);
        }
    }
}

/// A difference of so many standard deviations is no chance.
const CHANGED: f64 = 3.0;
/// By so much outcomes count that a model gave before it changed.
const CHANGED_KEPT: f64 = 0.25;
/// The unit of slopes: the steps of weight, of slope and of features.
const SLOPE_UNIT: f64 = (FULL_WEIGHT * 16_384 * ONE) as f64;

/// Outcomes of prompts with about the same prior logit.
pub(super) struct Bin {
    /// Their number, by task.
    pub(super) tasks: [f64; TASK_COUNT],
    /// The sum of their scores.
    pub(super) score: f64,
    /// The sums of their numbers.
    pub(super) numbers: [f64; NUMBERS],
}

impl Bin {
    pub(super) fn count(&self) -> f64 {
        self.tasks.iter().sum()
    }
}
