//! What the embedded ONNX model says of a prompt.
//!
//! [`Classifier`] owns the model; [`Classification`] is its answer. How text becomes token ids and numbers is in
//! `tokenizer` and `features`; only `onnx` names tract.

pub mod features;
pub(crate) mod fitted;
pub mod labels;
mod lexicon;
pub mod onnx;
pub mod tokenizer;

pub use labels::{Domain, Task};

use crate::prompt::Turn;
use onnx::OnnxModel;
use tokenizer::Tokenizer;

/// How many skill dimensions abilities and demands have; see [`crate::ability::SKILLS`] for their names.
pub const SKILL_COUNT: usize = 5;

/// How many domains there are.
pub const DOMAIN_COUNT: usize = Domain::ALL.len();

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
    /// Probability of each domain, in the order of [`Domain::ALL`]; all 0 where the domain was not looked at. Of a
    /// conversation the highest that any turn had, so that they can sum to more than 1.
    pub domains: [f32; DOMAIN_COUNT],
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
pub struct Classifier {
    tokenizer: Tokenizer,
    model: OnnxModel,
}

impl Classifier {
    /// Loads the model that build.rs embedded.
    ///
    /// # Errors
    /// [`ClassifierError`] where the embedded model does not load; tests make sure that a release never does.
    pub fn embedded() -> Result<Classifier, ClassifierError> {
        Ok(Classifier {
            tokenizer: Tokenizer::new(),
            model: OnnxModel::embedded()?,
        })
    }

    /// Classifies one turn of a conversation.
    ///
    /// # Errors
    /// [`ClassifierError`] where the model fails; the caller falls back to [`from_features`].
    pub fn classify(&mut self, turn: &Turn<'_>) -> Result<Classification, ClassifierError> {
        let tokens = self.tokenizer.tokenize(&turn.text);
        let features = features::extract(&turn.text, &tokens);
        let used = tokens.ids.get(..tokens.len).unwrap_or(&[]);
        let mut heads = [0.0; fitted::OUTPUTS];
        self.model.run(used, &features, &mut heads)?;
        Ok(interpret(&heads))
    }
}

/// The model's output → what it means. `heads` has the layout of `models/manifest.json`.
pub fn interpret(heads: &[f32; fitted::OUTPUTS]) -> Classification {
    let (task, task_probability) = most_probable(part(heads, fitted::TASK));
    let (domain, domain_probability) = most_probable(part(heads, fitted::DOMAIN));
    let novelty = part(heads, fitted::NOVELTY);
    let distance = novelty.iter().map(|x| x * x).sum::<f32>() / novelty.len().max(1) as f32;
    let uncertainty = unlike(distance);
    Classification {
        task: Task::ALL.get(task).copied().unwrap_or(Task::Chat),
        task_probability,
        domain: Domain::ALL.get(domain).copied().unwrap_or(Domain::General),
        domain_probability,
        domains: probabilities(part(heads, fitted::DOMAIN)),
        difficulty: shrink(one(heads, fitted::DIFFICULTY), uncertainty),
        demand: probabilities(part(heads, fitted::DEMAND)),
        gain: one(heads, fitted::GAIN),
        output_tokens: tokens(one(heads, fitted::LOG_OUTPUT_TOKENS)),
        uncertainty,
        from_model: true,
    }
}

/// What the numbers alone say of a turn: the rung of the fail-soft ladder below the model. Linear in the features; the domain
/// is not guessed, and nothing is certain.
pub fn from_features(turn: &Turn<'_>) -> Classification {
    let features = features::extract(&turn.text, &tokenizer::Tokens::default());
    let mut heads = [0.0_f32; fitted::FALLBACK_OUTPUTS];
    for (head, weights) in heads.iter_mut().zip(&fitted::FALLBACK) {
        *head = weights.iter().zip(&features).map(|(w, x)| w * x).sum();
    }
    let [scores @ .., difficulty, gain, log_output_tokens] = &heads;
    let (task, task_probability) = most_probable(scores);
    Classification {
        task: Task::ALL.get(task).copied().unwrap_or(Task::Chat),
        task_probability,
        domain: Domain::General,
        domain_probability: 0.0,
        domains: [0.0; DOMAIN_COUNT],
        difficulty: shrink(*difficulty, 0.5),
        demand: [1.0 / SKILL_COUNT as f32; SKILL_COUNT],
        gain: *gain,
        output_tokens: tokens(*log_output_tokens),
        uncertainty: 1.0,
        from_model: false,
    }
}

fn part(heads: &[f32], (start, len): (usize, usize)) -> &[f32] {
    heads.get(start..start + len).unwrap_or(&[])
}

fn one(heads: &[f32], (start, _): (usize, usize)) -> f32 {
    heads.get(start).copied().unwrap_or(0.0)
}

/// The index and the softmax probability of the greatest logit.
fn most_probable(logits: &[f32]) -> (usize, f32) {
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let total: f32 = logits.iter().map(|x| (x - greatest).exp()).sum();
    let index = logits.iter().position(|x| *x == greatest).unwrap_or(0);
    (index, 1.0 / total.max(1.0))
}

/// Softmax.
fn probabilities<const N: usize>(logits: &[f32]) -> [f32; N] {
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut shares = [0.0; N];
    for (share, logit) in shares.iter_mut().zip(logits) {
        *share = (logit - greatest).exp();
    }
    let total: f32 = shares.iter().sum();
    shares.map(|share| share / total.max(f32::MIN_POSITIVE))
}

/// Distance from the training prompts → 0 (as near as nine tenths of them) to 1 (twice as far as any). In between by its
/// logarithm, because distances are ratios.
fn unlike(distance: f32) -> f32 {
    let span = (fitted::NOVELTY_HIGH / fitted::NOVELTY_LOW).ln();
    ((distance / fitted::NOVELTY_LOW).max(f32::MIN_POSITIVE).ln() / span).clamp(0.0, 1.0)
}

/// Difficulty transfers badly to prompts unlike the training data, so there it moves towards the mean: by three quarters where
/// nothing is known.
fn shrink(difficulty: f32, uncertainty: f32) -> f32 {
    fitted::DIFFICULTY_MEAN + (1.0 - 0.75 * uncertainty) * (difficulty - fitted::DIFFICULTY_MEAN)
}

/// Expected tokens of the answer, within what answers are.
fn tokens(log_tokens: f32) -> f32 {
    log_tokens.exp().clamp(1.0, 16_384.0)
}

#[cfg(test)]
mod tests;
