//! The embedded ONNX model's classification of a prompt.
//!
//! [`Classifier`] owns the model; [`Classification`] is its answer. How text becomes token ids and numbers is in
//! `tokenizer`, `ngrams` and `features`, what the model's numbers mean in `decode`; only `onnx` names tract.

mod decode;
pub(crate) mod domain_rules;
pub mod features;
pub(crate) mod fitted;
pub(crate) mod fitted_abilities;
pub mod labels;
mod lexicon;
pub(crate) mod neighbours;
pub mod ngrams;
pub mod onnx;
mod short_word;
pub mod tokenizer;

pub use decode::{decode_heads, from_features};
pub use labels::{Domain, Task};

use crate::analysis::prompt::Turn;
use onnx::OnnxModel;
use tokenizer::Tokenizer;

/// How many skill dimensions abilities and demands have; see [`crate::fleet::ability::SKILLS`] for their names.
pub const SKILL_COUNT: usize = 6;

/// How many kinds of task are told apart.
pub const TASK_COUNT: usize = fitted::TASK.1;
/// How many subjects are told apart.
pub const DOMAIN_COUNT: usize = fitted::DOMAIN.1;

/// How many latent factors known models differ in beyond their skills.
pub const LATENT_COUNT: usize = fitted::LATENT_FACTORS.1;

/// Tells this classifier from others: numbers that another one gave mean something else.
pub const FINGERPRINT: u16 =
    crate::fnv::hash32(include_bytes!("../../../models/manifest.json")) as u16;

/// The classifier's output for one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// The most probable kind of task.
    pub task: Task,
    /// Probability of [`Classification::task`], 0 to 1.
    pub task_probability: f32,
    /// Probability of each task, in the order of [`Task::ALL`]; see [`Classification::probability_of_task`].
    pub task_probabilities: [f32; TASK_COUNT],
    /// The most probable subject.
    pub domain: Domain,
    /// Probability of [`Classification::domain`], 0 to 1.
    pub domain_probability: f32,
    /// Probability of each subject, in the order of [`Domain::ALL`]; see [`Classification::probability_of_domain`]. Of a
    /// conversation it is the greatest over its turns, so that what was once medical stays so.
    pub domain_probabilities: [f32; DOMAIN_COUNT],
    /// How hard the prompt is, in logits: a model whose ability meets the demand exactly answers right with
    /// probability σ(−difficulty).
    pub difficulty: f32,
    /// How much each skill counts, non-negative. Those of measured outcomes share [`Classification::measured`]; the last, of
    /// everyday prompts, has the rest times the slope at which such a prompt tells able models from others.
    pub skill_weights: [f32; SKILL_COUNT],
    /// On what known models differ in ways that no benchmark score tells; near 0 if nothing of the kind was measured.
    pub latent_factors: [f32; LATENT_COUNT],
    /// These factors as the model states them, whether or not such prompts were measured, in steps of 1/64 from −2 to 2: features
    /// for what is learned of an operator's own models. Integers, so that a receipt carries them without loss.
    pub raw_factors: [i8; LATENT_COUNT],
    /// How much a strong model gains over a weak one, as a z-score over the training prompts.
    pub gain: f32,
    /// How likely a weak model is to fail, as a z-score over the training prompts.
    pub weak_failure: f32,
    /// Median of the expected length of the answer, in tokens: of what the prompt asks for, whatever bounds it.
    pub output_tokens: f32,
    /// Standard deviation of the natural logarithm of that number.
    pub output_tokens_sigma: f32,
    /// How much the prompt is like the exams and puzzles whose outcomes were measured: 0 for an everyday prompt, 1 for one of
    /// them. What outcomes say of a model beyond its published scores counts by this share.
    pub measured: f32,
    /// How little the model knows of such prompts: 0 (like its training data) to 1 (unlike any of it).
    pub uncertainty: f32,
    /// Whether the model said it (`true`), or only the features did (`false`): there was no text to ask it about, or it failed.
    pub from_model: bool,
    /// Whether the model was to be asked and failed.
    pub model_failed: bool,
}

impl Classification {
    /// The probability, 0 to 1, that the prompt is of this task: for rules that must not miss it, as looking at the most
    /// probable task alone would.
    pub fn probability_of_task(&self, task: Task) -> f32 {
        of(Task::ALL, &self.task_probabilities, task)
    }

    /// The probability, 0 to 1, that the prompt is about this subject: for rules that must not miss it, as looking at
    /// the most probable subject alone would. 0 if only the features were asked.
    pub fn probability_of_domain(&self, domain: Domain) -> f32 {
        of(Domain::ALL, &self.domain_probabilities, domain)
    }
}

/// An average prompt of which nothing is known: what a test or a tool starts from.
impl Default for Classification {
    fn default() -> Classification {
        Classification {
            task: Task::Chat,
            task_probability: 0.0,
            task_probabilities: [0.0; TASK_COUNT],
            domain: Domain::General,
            domain_probability: 0.0,
            domain_probabilities: [0.0; DOMAIN_COUNT],
            difficulty: fitted::EVERYDAY_MEAN,
            skill_weights: [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            latent_factors: [0.0; LATENT_COUNT],
            raw_factors: [0; LATENT_COUNT],
            gain: 0.0,
            weak_failure: 0.0,
            output_tokens: 150.0,
            output_tokens_sigma: UNKNOWN_SIGMA,
            measured: 0.0,
            uncertainty: 1.0,
            from_model: false,
            model_failed: false,
        }
    }
}

/// Tells classifiers apart: another training has another manifest. Latent factors of one mean nothing to another.
const IDENTITY: u32 = crate::fnv::hash32(include_bytes!("../../../models/manifest.json"));

/// The name of the embedded classifier, in eight hexadecimal digits.
pub fn identity() -> String {
    format!("{IDENTITY:08x}")
}

/// Standard deviation of the logarithm of an answer's length, if nothing but the features says how long it is.
pub const UNKNOWN_SIGMA: f32 = 0.9;

/// The greatest of these standard deviations.
pub const MOST_SIGMA: f32 = 1.5;

/// The longest answer that is expected, in tokens.
pub const MOST_OUTPUT_TOKENS: f32 = 16_384.0;

/// The value of `label` in `values`, which are in the order of `labels`.
fn of<T: Copy + PartialEq>(labels: &[T], values: &[f32], label: T) -> f32 {
    let mut pairs = labels.iter().zip(values);
    pairs
        .find(|(one, _)| **one == label)
        .map_or(0.0, |(_, value)| *value)
}

/// Why the classifier could not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifierError(pub String);

impl std::fmt::Display for ClassifierError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ClassifierError {}

/// The embedded model, ready to run. One per worker: it keeps scratch space, so classification needs `&mut`.
pub struct Classifier {
    tokenizer: Tokenizer,
    ngrams: ngrams::Ngrams,
    rows: ngrams::Rows,
    model: OnnxModel,
}

impl Classifier {
    /// Loads the model that build.rs embedded.
    ///
    /// # Errors
    /// [`ClassifierError`] if the embedded model does not load; tests make sure that a release never does.
    pub fn embedded() -> Result<Classifier, ClassifierError> {
        Ok(Classifier {
            tokenizer: Tokenizer::new(),
            ngrams: ngrams::Ngrams::default(),
            rows: ngrams::Rows::default(),
            model: OnnxModel::embedded()?,
        })
    }

    /// Classifies one turn of a conversation.
    ///
    /// # Errors
    /// [`ClassifierError`] if the model fails; the caller falls back to [`from_features`].
    pub fn classify(&mut self, turn: &Turn<'_>) -> Result<Classification, ClassifierError> {
        let turn = turn.question();
        let tokens = self.tokenizer.tokenize(&turn.text);
        let features = features::extract(&turn, &tokens);
        self.ngrams.fill(&turn);
        self.rows.fill(&self.ngrams);
        let (ngram_rows, ngram_weights) = self.rows.as_slices();
        let mut heads = [0.0; fitted::OUTPUTS];
        let inputs = onnx::Inputs {
            tokens: tokens.ids.get(..tokens.len).unwrap_or(&[]),
            ngram_rows,
            ngram_weights,
            features: &features,
        };
        self.model.run(inputs, &mut heads)?;
        Ok(decode_heads(&heads))
    }
}

#[cfg(test)]
mod tests;
