//! What the embedded ONNX model says of a prompt.
//!
//! [`Classifier`] owns the model; [`Classification`] is its answer. How text becomes token ids and numbers is in
//! `tokenizer` and `features`; only `onnx` names tract.

pub mod features;
pub(crate) mod fitted;
pub(crate) mod known_models;
pub mod labels;
mod lexicon;
pub(crate) mod neighbours;
pub mod onnx;
pub mod tokenizer;

pub use labels::{Domain, Task};

use crate::analysis::prompt::Turn;
use onnx::OnnxModel;
use tokenizer::Tokenizer;

/// How many skill dimensions abilities and demands have; see [`crate::fleet::ability::SKILLS`] for their names.
pub const SKILL_COUNT: usize = 5;

/// How many kinds of task are told apart.
pub const TASK_COUNT: usize = fitted::TASK.1;
/// How many subjects are told apart.
pub const DOMAIN_COUNT: usize = fitted::DOMAIN.1;

/// How many latent traits known models differ in beyond their skills.
pub const TRAIT_COUNT: usize = fitted::TRAITS.1;

/// What the classifier says of one prompt.
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
    /// How much each skill counts, non-negative, summing to 1.
    pub demand: [f32; SKILL_COUNT],
    /// On what known models differ in ways that no benchmark score tells; near 0 where nothing of the kind was measured.
    pub traits: [f32; TRAIT_COUNT],
    /// How much a strong model gains over a weak one, as a z-score over the training prompts.
    pub gain: f32,
    /// How likely a weak model is to fail, as a z-score over the training prompts.
    pub weak_wrong: f32,
    /// Median of the expected length of the answer, in tokens: of what the prompt asks for, whatever bounds it.
    pub output_tokens: f32,
    /// Standard deviation of the natural logarithm of that number.
    pub output_tokens_sigma: f32,
    /// How little the model knows of such prompts: 0 (like its training data) to 1 (unlike any of it).
    pub uncertainty: f32,
    /// Whether the model said it (`true`), or only the features did (`false`): there was no text to ask it about, or it failed.
    pub from_model: bool,
    /// Whether the model was to be asked and failed.
    pub model_failed: bool,
}

impl Classification {
    /// The probability, 0 to 1, that the prompt is of this task: for rules that must not miss it, where looking at the most
    /// probable task alone would.
    pub fn probability_of_task(&self, task: Task) -> f32 {
        of(Task::ALL, &self.task_probabilities, task)
    }

    /// The probability, 0 to 1, that the prompt is about this subject: for rules that must not miss it, where looking at
    /// the most probable subject alone would. 0 where only the features were asked.
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
            difficulty: fitted::DIFFICULTY_MEAN,
            demand: [1.0 / SKILL_COUNT as f32; SKILL_COUNT],
            traits: [0.0; TRAIT_COUNT],
            gain: 0.0,
            weak_wrong: 0.0,
            output_tokens: 200.0,
            output_tokens_sigma: UNKNOWN_SIGMA,
            uncertainty: 1.0,
            from_model: false,
            model_failed: false,
        }
    }
}

/// What belongs to `label` in `values`, which are in the order of `labels`.
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
        Ok(interpret(&heads, features::foreign(&features)))
    }
}

/// The model's output → what it means. `heads` has the layout of `models/manifest.json`; `foreign` is that of
/// [`features::foreign`]: of another language than English the model knows little, whatever its tokens look like.
pub fn interpret(heads: &[f32; fitted::OUTPUTS], foreign: f32) -> Classification {
    let task_probabilities = shares(part(heads, fitted::TASK));
    let domain_probabilities = shares(part(heads, fitted::DOMAIN));
    let (task, task_probability) = most_probable(&task_probabilities);
    let (domain, domain_probability) = most_probable(&domain_probabilities);
    let novelty = part(heads, fitted::NOVELTY);
    let distance = novelty.iter().map(|x| x * x).sum::<f32>() / novelty.len().max(1) as f32;
    let uncertainty = unlike(distance).max(FOREIGN_UNCERTAINTY * foreign);
    let mut traits = [0.0; TRAIT_COUNT];
    for (own, said) in traits.iter_mut().zip(part(heads, fitted::TRAITS)) {
        *own = said * known(uncertainty);
    }
    Classification {
        task: Task::ALL.get(task).copied().unwrap_or(Task::Chat),
        task_probability,
        task_probabilities,
        domain: Domain::ALL.get(domain).copied().unwrap_or(Domain::General),
        domain_probability,
        domain_probabilities,
        difficulty: shrink(one(heads, fitted::DIFFICULTY), uncertainty),
        demand: shares(part(heads, fitted::DEMAND)),
        traits,
        gain: one(heads, fitted::GAIN),
        weak_wrong: one(heads, fitted::WEAK_WRONG),
        output_tokens: tokens(one(heads, fitted::LOG_OUTPUT_TOKENS)),
        output_tokens_sigma: UNKNOWN_SIGMA,
        uncertainty,
        from_model: true,
        model_failed: false,
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
    let task_probabilities = shares(scores);
    let (task, task_probability) = most_probable(&task_probabilities);
    Classification {
        task: Task::ALL.get(task).copied().unwrap_or(Task::Chat),
        task_probability,
        task_probabilities,
        difficulty: shrink(*difficulty, 0.5),
        gain: *gain,
        output_tokens: tokens(*log_output_tokens),
        ..Classification::default()
    }
}

/// The spread of an answer's length where nothing tells it.
pub const UNKNOWN_SIGMA: f32 = 0.9;

/// How uncertain text in another language is at least.
const FOREIGN_UNCERTAINTY: f32 = 0.6;

fn part(heads: &[f32], (start, len): (usize, usize)) -> &[f32] {
    heads.get(start..start + len).unwrap_or(&[])
}

fn one(heads: &[f32], (start, _): (usize, usize)) -> f32 {
    heads.get(start).copied().unwrap_or(0.0)
}

/// The index of the greatest probability, and itself.
fn most_probable(probabilities: &[f32]) -> (usize, f32) {
    let greatest = probabilities.iter().copied().fold(0.0, f32::max);
    let index = probabilities.iter().position(|p| *p == greatest);
    (index.unwrap_or(0), greatest)
}

/// Softmax: what each of the `N` logits comes to, summing to 1.
fn shares<const N: usize>(logits: &[f32]) -> [f32; N] {
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

/// Difficulty transfers badly to prompts unlike the training data, so there it moves towards the mean.
fn shrink(difficulty: f32, uncertainty: f32) -> f32 {
    let from_mean = difficulty - fitted::DIFFICULTY_MEAN;
    fitted::DIFFICULTY_MEAN + known(uncertainty) * from_mean
}

/// How much of what the model says is kept: all of it, or a quarter where nothing is known.
fn known(uncertainty: f32) -> f32 {
    1.0 - 0.75 * uncertainty
}

/// Expected tokens of the answer, within what answers are.
fn tokens(log_tokens: f32) -> f32 {
    log_tokens.exp().clamp(1.0, 16_384.0)
}

#[cfg(test)]
mod tests;
