//! What the embedded ONNX model says of a prompt.
//!
//! [`Classifier`] owns the model; [`Classification`] is its answer. How text becomes token ids and numbers is in
//! `tokenizer` and `features`; only `onnx` names tract.

pub mod features;
pub mod labels;
mod lexicon;
pub mod onnx;
pub mod tokenizer;

pub use labels::{Domain, Task};

use crate::prompt::Turn;

/// How many skill dimensions abilities and demands have; see [`crate::ability::SKILLS`] for their names.
pub const SKILL_COUNT: usize = 5;

/// What the classifier says of one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// The most probable kind of task.
    pub task: Task,
    /// Probability of [`Classification::task`], 0 to 1.
    pub task_probability: f32,
    /// The most probable subject.
    pub domain: Domain,
    /// Probability of [`Classification::domain`], 0 to 1.
    pub domain_probability: f32,
    /// How hard the prompt is, in logits: a model whose ability meets the demand exactly answers right with
    /// probability σ(−difficulty).
    pub difficulty: f32,
    /// How much each skill counts, non-negative, summing to 1.
    pub demand: [f32; SKILL_COUNT],
    /// How much a strong model gains over a weak one, as a z-score over the training prompts.
    pub gain: f32,
    /// Expected tokens of the answer.
    pub output_tokens: f32,
    /// How little the model knows of such prompts: 0 (like its training data) to 1 (unlike any of it).
    pub uncertainty: f32,
    /// Whether the model said it (`true`), or only the features did because the model failed (`false`).
    pub from_model: bool,
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
pub struct Classifier {}

impl Classifier {
    /// Loads the model that build.rs embedded.
    ///
    /// # Errors
    /// [`ClassifierError`] where the embedded model does not load; tests make sure that a release never does.
    pub fn embedded() -> Result<Classifier, ClassifierError> {
        Err(ClassifierError("no model is embedded yet".into()))
    }

    /// Classifies one turn of a conversation.
    ///
    /// # Errors
    /// [`ClassifierError`] where the model fails; the caller falls back to [`from_features`].
    pub fn classify(&mut self, turn: &Turn<'_>) -> Result<Classification, ClassifierError> {
        let _ = turn;
        Err(ClassifierError("no model is embedded yet".into()))
    }
}

/// What the numbers alone say of a turn: the rung of the fail-soft ladder below the model.
pub fn from_features(turn: &Turn<'_>) -> Classification {
    let _ = turn;
    Classification {
        task: Task::Chat,
        task_probability: 0.0,
        domain: Domain::General,
        domain_probability: 0.0,
        difficulty: 0.0,
        demand: [1.0 / SKILL_COUNT as f32; SKILL_COUNT],
        gain: 0.0,
        output_tokens: 256.0,
        uncertainty: 1.0,
        from_model: false,
    }
}
