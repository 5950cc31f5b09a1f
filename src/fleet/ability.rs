//! Ability of a model: from its benchmark scores, and with a classified prompt the probability of a correct answer.
//!
//! Abilities live outside the classifier's weights, so a model is added by its public scores alone. Scores of different
//! benchmarks correlate: a missing score is inferred from the others, by the correlations that training fitted over
//! `models/benchmarks.json`. For models whose outcomes training saw there are fitted abilities ([`Ability::fitted`]).
//! [`Calibration`] shifts a model's probabilities by the operator's own labelled prompts.

pub mod published_scores;
pub mod siblings;
pub mod spelling;

use crate::analysis::classifier::{
    Classification, LATENT_COUNT, SKILL_COUNT, Task, fitted, fitted_abilities, neighbours,
};

/// The skill dimensions, in the order of [`Ability::skills`] and of [`Classification::skill_weights`].
///
/// Measured outcomes speak of the first five, ratings of everyday prompts of the last.
pub const SKILLS: [&str; SKILL_COUNT] = [
    "knowledge",
    "math",
    "reasoning",
    "code",
    "instruction",
    "everyday",
];

/// Number of benchmarks.
const COUNT: usize = 7;

/// The benchmarks that [`Ability::from_benchmarks`] knows, sorted by name.
pub const BENCHMARKS: &[&str] = &[
    "gpqa",
    "gsm8k",
    "humaneval",
    "ifeval",
    "math",
    "mmlu",
    "mmlu_pro",
];

/// A model's skill per dimension, in logits: 0 is an average model of `models/benchmarks.json`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ability {
    /// One value per entry of [`SKILLS`].
    pub skills: [f32; SKILL_COUNT],
    /// Correction by the operator's own labelled prompts.
    pub calibration: Calibration,
    /// Latent factors from measured outcomes, against those of the prompt; of a model placed by its scores, those of the
    /// fitted models near it, and 0 if none is near.
    pub latent_factors: [f32; LATENT_COUNT],
}

impl Ability {
    /// The ability that training fitted to the measured outcomes of the model with this name, if it saw any. Names are those of
    /// the outcome data and of `models/benchmarks.json`, in any case, with or without a vendor in front.
    pub fn fitted(name: &str) -> Option<Ability> {
        let bare = name.rsplit('/').next().unwrap_or(name);
        let mut known = fitted_abilities::FITTED_ABILITIES.iter();
        let (_, skills, latent_factors) =
            known.find(|(known, ..)| known.eq_ignore_ascii_case(bare))?;
        Some(Ability {
            skills: *skills,
            latent_factors: *latent_factors,
            calibration: Calibration::NEUTRAL,
        })
    }

    /// Places a model by its public benchmark scores, each 0 to 1; names as in `models/benchmarks.json`.
    ///
    /// Missing scores are inferred from the others; without any score the ability is that of an average model. Unknown names
    /// are ignored here: `policy` reports them. Of a name given twice the last counts.
    ///
    /// ```
    /// use pointsman::fleet::Ability;
    ///
    /// let strong = Ability::from_benchmarks([("mmlu", 0.88), ("math", 0.77)]);
    /// let weak = Ability::from_benchmarks([("mmlu", 0.55)]);
    /// assert!(strong.skills[0] > weak.skills[0]);
    /// ```
    pub fn from_benchmarks<'a>(scores: impl IntoIterator<Item = (&'a str, f32)>) -> Ability {
        let mut known = [None; COUNT];
        for (name, score) in scores {
            let at = BENCHMARKS.iter().position(|known| *known == name);
            if let Some(place) = at.and_then(|at| known.get_mut(at)) {
                *place = score.is_finite().then_some(score);
            }
        }
        if known.iter().all(Option::is_none) {
            return Ability::typical(0.0);
        }
        let standard = complete(standardise(known));
        Ability {
            latent_factors: nearby_latent_factors(&standard),
            ..Ability::from_standard_scores(standard)
        }
    }

    /// A model that is `spread` standard deviations above average in every benchmark: for a model without published scores.
    pub fn typical(spread: f32) -> Ability {
        Ability::from_standard_scores([spread; COUNT])
    }

    /// From scores in standard deviations from the average model, none missing.
    fn from_standard_scores(standard: [f32; COUNT]) -> Ability {
        let mut skills = [0.0; SKILL_COUNT];
        for (input, weights) in standard.iter().chain(&[1.0]).zip(&fitted::SKILL_MAP) {
            for (skill, weight) in skills.iter_mut().zip(weights) {
                *skill += input * weight;
            }
        }
        Ability {
            skills,
            calibration: Calibration::NEUTRAL,
            latent_factors: [0.0; LATENT_COUNT],
        }
    }

    /// The probability, 0 to 1, that a model of this ability answers the classified prompt correctly.
    pub fn p_correct(&self, classification: &Classification) -> f32 {
        1.0 / (1.0 + (-self.calibrated_logit(classification)).exp())
    }

    /// The logit of that probability.
    pub fn calibrated_logit(&self, classification: &Classification) -> f32 {
        self.calibration
            .apply(self.logit(classification), classification)
    }

    /// The logit of that probability before calibration: how far ability exceeds difficulty.
    pub fn logit(&self, classification: &Classification) -> f32 {
        let skills = self.skills.iter().zip(&classification.skill_weights);
        let latent = self
            .latent_factors
            .iter()
            .zip(&classification.latent_factors);
        let reach: f32 = skills.chain(latent).map(|(own, weight)| own * weight).sum();
        reach - classification.difficulty
    }
}

/// Steps of [`Classification::raw_factors`] in a quarter.
const FACTOR_STEPS: f32 = 16.0;

/// Number of tasks.
const TASK_COUNT: usize = Task::ALL.len();

/// Correction of a model's logit of a correct answer, which `pointsman calibrate` fits to labelled prompts and the policy states.
///
/// Public scores place a model on the average prompt of public benchmarks; an operator's prompts differ. With a calibration
/// P(correct) = σ(scale · logit + offset + offset of the task + factors · φ), φ being [`Classification::raw_factors`] in units of
/// a quarter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Factor on the logit: less than 1 if the classifier is overconfident.
    pub scale: f32,
    /// Added for every prompt, in logits.
    pub offset: f32,
    /// Added for prompts of one task, in logits, in the order of [`Task::ALL`].
    pub tasks: [f32; TASK_COUNT],
    /// Weight of each latent factor of the prompt, in logits per quarter, about the factor's standard deviation.
    pub factors: [f32; LATENT_COUNT],
}

impl Calibration {
    /// The calibration that changes nothing.
    pub const NEUTRAL: Calibration = Calibration {
        scale: 1.0,
        offset: 0.0,
        tasks: [0.0; TASK_COUNT],
        factors: [0.0; LATENT_COUNT],
    };

    /// The corrected logit of a correct answer to a prompt.
    pub fn apply(&self, logit: f32, classification: &Classification) -> f32 {
        let task = classification.task as usize;
        let own = self.tasks.get(task).copied().unwrap_or(0.0);
        let factors = self.factors.iter().zip(&classification.raw_factors);
        let factors: f32 = factors
            .map(|(weight, factor)| weight * f32::from(*factor))
            .sum();
        self.scale * logit + self.offset + own + factors / FACTOR_STEPS
    }

    /// This correction, and `next` of its result.
    pub fn then(&self, next: &Calibration) -> Calibration {
        let mut both = Calibration {
            scale: next.scale * self.scale,
            offset: next.scale * self.offset + next.offset,
            ..*self
        };
        let tasks = both.tasks.iter_mut().zip(next.tasks);
        let factors = both.factors.iter_mut().zip(next.factors);
        for (own, later) in tasks.chain(factors) {
            *own = next.scale * *own + later;
        }
        both
    }
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration::NEUTRAL
    }
}

/// Mean of the fitted models' latent factors, weighted by the nearness of their scores; shrunk towards 0 if none is near.
///
/// Models of one maker and time fail alike, in ways that no score shows: on models that were left out of training this ranks
/// answers better than no latent factors do (`models/README.md`).
fn nearby_latent_factors(standard: &[f32; COUNT]) -> [f32; LATENT_COUNT] {
    let mut latent_factors = [0.0; LATENT_COUNT];
    let mut all = fitted::NOTHING;
    for (scores, own) in &neighbours::NEIGHBOURS {
        let apart = standard.iter().zip(scores).map(|(a, b)| (a - b) * (a - b));
        let apart = apart.sum::<f32>() / COUNT as f32;
        let weight = (-apart / (2.0 * fitted::NEAR * fitted::NEAR)).exp();
        all += weight;
        for (sum, own) in latent_factors.iter_mut().zip(own) {
            *sum += weight * own;
        }
    }
    latent_factors.map(|sum| sum / all)
}

/// Scores as logits, in standard deviations from the average model.
fn standardise(scores: [Option<f32>; COUNT]) -> [Option<f32>; COUNT] {
    let mut out = scores;
    let scale = fitted::BENCHMARK_MEAN.iter().zip(&fitted::BENCHMARK_SPREAD);
    for (score, (mean, spread)) in out.iter_mut().zip(scale) {
        *score = score.map(|score| {
            let score = score.clamp(fitted::LEAST_SCORE, fitted::MOST_SCORE);
            ((score / (1.0 - score)).ln() - mean) / spread
        });
    }
    out
}

/// Replaces missing scores by their conditional expectation given the others: C_mo · (C_oo + noise)⁻¹ · z_o.
fn complete(z: [Option<f32>; COUNT]) -> [f32; COUNT] {
    let weights = solve(z);
    let mut out = [0.0; COUNT];
    for ((place, own), row) in out.iter_mut().zip(&z).zip(&fitted::BENCHMARK_CORRELATION) {
        let inferred = row.iter().zip(&weights).map(|(c, w)| c * w).sum();
        *place = own.unwrap_or(inferred);
    }
    out
}

/// (C_oo + noise)⁻¹ · z_o, with 0 for missing scores: Gauss–Seidel, which converges because the matrix is symmetric and
/// positive definite. Sixty-four rounds over at most 7 unknowns, once per model and policy.
fn solve(z: [Option<f32>; COUNT]) -> [f32; COUNT] {
    let mut weights = [0.0_f32; COUNT];
    for _ in 0..64 {
        for (at, (target, row)) in z.iter().zip(&fitted::BENCHMARK_CORRELATION).enumerate() {
            let Some(target) = target else { continue };
            let all: f32 = row.iter().zip(&weights).map(|(c, w)| c * w).sum();
            if let (Some(weight), Some(diagonal)) = (weights.get_mut(at), row.get(at)) {
                *weight =
                    (target - (all - diagonal * *weight)) / (diagonal + fitted::BENCHMARK_NOISE);
            }
        }
    }
    weights
}

#[cfg(test)]
mod tests;
