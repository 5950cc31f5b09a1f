//! How good a model is at what a prompt demands: benchmark scores → ability; ability × classification → P(correct).
//!
//! Abilities live outside the classifier's weights, so a model is added by its public scores alone. Scores of different
//! benchmarks go together; what a model lacks is inferred from what it has, by the correlations that training fitted over
//! `models/benchmarks.json`. Models whose outcomes were seen in training are known by name as well ([`Ability::of_known`]).

pub mod calibration;
pub mod known;
pub mod spelling;

use crate::analysis::classifier::{
    Classification, SKILL_COUNT, TRAIT_COUNT, fitted, known_models, neighbours,
};
use calibration::Calibration;

/// The skill dimensions, in the order of [`Ability::skills`] and of [`Classification::demand`].
pub const SKILLS: [&str; SKILL_COUNT] = ["knowledge", "math", "reasoning", "code", "instruction"];

/// How many benchmarks are known.
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
    /// What the operator's own labelled prompts add to them.
    pub calibration: Calibration,
    /// What measured outcomes say beyond skills, against [`Classification::traits`]; of a model placed by its scores, what they say
    /// of known models near it, and 0 where nothing is near.
    pub traits: [f32; TRAIT_COUNT],
}

impl Ability {
    /// The ability that training fitted to the measured outcomes of the model with this name, if it saw any; the names are
    /// those of the outcome data and of `models/benchmarks.json`, in any case, with or without the vendor in front.
    pub fn of_known(name: &str) -> Option<Ability> {
        let bare = name.rsplit('/').next().unwrap_or(name);
        let mut known = known_models::KNOWN_MODELS.iter();
        let (_, skills, traits) = known.find(|(known, ..)| known.eq_ignore_ascii_case(bare))?;
        Some(Ability {
            skills: *skills,
            traits: *traits,
            calibration: Calibration::NEUTRAL,
        })
    }

    /// Places a model by its public benchmark scores, each 0 to 1; names as in `models/benchmarks.json`.
    ///
    /// What is missing is inferred from what is there; no score at all gives the ability of an average model. Names that
    /// are not known are ignored here: `policy::compile` reports them. Of a name given twice the last counts.
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
            traits: traits_near(&standard),
            ..Ability::of_standard(standard)
        }
    }

    /// A model that is `spread` standard deviations above the average one in every benchmark: for a model of which nothing is
    /// published.
    pub fn typical(spread: f32) -> Ability {
        Ability::of_standard([spread; COUNT])
    }

    /// From scores in standard deviations from the average model, none missing.
    fn of_standard(standard: [f32; COUNT]) -> Ability {
        let mut skills = [0.0; SKILL_COUNT];
        for (input, weights) in standard.iter().chain(&[1.0]).zip(&fitted::SKILL_MAP) {
            for (skill, weight) in skills.iter_mut().zip(weights) {
                *skill += input * weight;
            }
        }
        Ability {
            skills,
            calibration: Calibration::NEUTRAL,
            traits: [0.0; TRAIT_COUNT],
        }
    }

    /// The probability, 0 to 1, that a model of this ability answers the classified prompt correctly.
    pub fn p_correct(&self, classification: &Classification) -> f32 {
        let logit = self
            .calibration
            .apply(self.logit(classification), classification.task);
        1.0 / (1.0 + (-logit).exp())
    }

    /// The logit of that probability before calibration: how far ability exceeds difficulty.
    pub fn logit(&self, classification: &Classification) -> f32 {
        let skills = self.skills.iter().zip(&classification.demand);
        let traits = self.traits.iter().zip(&classification.traits);
        let reach: f32 = skills.chain(traits).map(|(own, asked)| own * asked).sum();
        reach - classification.difficulty
    }
}

/// The traits of the models whose outcomes were seen, each weighted by how near its scores are; shrunk towards 0 where none is near.
///
/// Models of one make and time fail alike, in ways that no score tells: of models left out of training this ranks answers better than
/// no traits do (`models/README.md`).
fn traits_near(standard: &[f32; COUNT]) -> [f32; TRAIT_COUNT] {
    let mut traits = [0.0; TRAIT_COUNT];
    let mut all = fitted::NOTHING;
    for (scores, own) in &neighbours::NEIGHBOURS {
        let apart = standard.iter().zip(scores).map(|(a, b)| (a - b) * (a - b));
        let apart = apart.sum::<f32>() / COUNT as f32;
        let weight = (-apart / (2.0 * fitted::NEAR * fitted::NEAR)).exp();
        all += weight;
        for (sum, own) in traits.iter_mut().zip(own) {
            *sum += weight * own;
        }
    }
    traits.map(|sum| sum / all)
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

/// What is missing becomes its conditional expectation given what is there: C_mo · (C_oo + noise)⁻¹ · z_o.
fn complete(z: [Option<f32>; COUNT]) -> [f32; COUNT] {
    let weights = solve(z);
    let mut out = [0.0; COUNT];
    for ((place, own), row) in out.iter_mut().zip(&z).zip(&fitted::BENCHMARK_CORRELATION) {
        let inferred = row.iter().zip(&weights).map(|(c, w)| c * w).sum();
        *place = own.unwrap_or(inferred);
    }
    out
}

/// (C_oo + noise)⁻¹ · z_o, with 0 for what is missing: Gauss–Seidel, which converges because the matrix is symmetric and
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
