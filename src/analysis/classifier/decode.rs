//! The numbers that the model gives → what they mean.
//!
//! The model has two parts. One learned from measured outcomes of exams and puzzles, the other from ratings of everyday prompts; a
//! head of the first says which of them speaks for a prompt, and how much.

use super::{Classification, DOMAIN_COUNT, Domain, LATENT_COUNT, SKILL_COUNT, TASK_COUNT, Task};
use super::{MOST_OUTPUT_TOKENS, MOST_SIGMA, UNKNOWN_SIGMA, features, fitted, tokenizer};
use crate::analysis::prompt::Turn;

/// Decodes the model's output. `heads` has the layout of `models/manifest.json`.
pub fn decode_heads(heads: &[f32; fitted::OUTPUTS]) -> Classification {
    let measured = sigmoid(scalar(heads, fitted::MEASURED));
    let mut task_probabilities = [0.0; TASK_COUNT];
    let (exam, everyday) = (fitted::TASK, fitted::EVERYDAY_TASK);
    mix_probabilities(&mut task_probabilities, heads, measured, exam, everyday);
    let mut domain_probabilities = [0.0; DOMAIN_COUNT];
    let (exam, everyday) = (fitted::DOMAIN, fitted::EVERYDAY_DOMAIN);
    mix_probabilities(&mut domain_probabilities, heads, measured, exam, everyday);
    let (task, task_probability) = most_probable(&task_probabilities);
    let (domain, domain_probability) = most_probable(&domain_probabilities);
    let novelty = slice(heads, fitted::NOVELTY);
    let distance = novelty.iter().map(|x| x * x).sum::<f32>() / novelty.len().max(1) as f32;
    let uncertainty = novelty_score(distance);
    let confidence = confidence(uncertainty) * measured;
    let (latent_factors, raw_factors) = factors(heads, confidence);
    let mix = |exam: f32, everyday: f32| measured * exam + (1.0 - measured) * everyday;
    // Answers to exams are of another kind than answers to people: that part speaks of lengths only where it is sure of its own.
    let by_exam = measured * measured;
    let sigma = mix(
        UNKNOWN_SIGMA.ln(),
        scalar(heads, fitted::EVERYDAY_LOG_SIGMA),
    );
    Classification {
        task: Task::ALL.get(task).copied().unwrap_or(Task::Chat),
        task_probability,
        task_probabilities,
        domain: Domain::ALL.get(domain).copied().unwrap_or(Domain::General),
        domain_probability,
        domain_probabilities,
        difficulty: mix(
            shrink(scalar(heads, fitted::DIFFICULTY), uncertainty),
            scalar(heads, fitted::EVERYDAY_DIFFICULTY)
                .clamp(-fitted::MOST_DIFFICULTY, fitted::MOST_DIFFICULTY),
        ),
        skill_weights: skill_weights(heads, measured),
        latent_factors,
        raw_factors,
        gain: scalar(heads, fitted::GAIN),
        weak_failure: scalar(heads, fitted::WEAK_FAILURE),
        output_tokens: tokens(
            by_exam * scalar(heads, fitted::LOG_OUTPUT_TOKENS)
                + (1.0 - by_exam) * scalar(heads, fitted::EVERYDAY_LOG_TOKENS),
        ),
        output_tokens_sigma: sigma.exp().clamp(LEAST_SIGMA, MOST_SIGMA),
        measured,
        uncertainty,
        from_model: true,
        model_failed: false,
    }
}

/// Classifies a turn by the numbers alone: the rung of the fail-soft ladder below the model. Linear in the features; the domain
/// is not guessed, and nothing is certain.
pub fn from_features(turn: &Turn<'_>) -> Classification {
    let features = features::extract(&turn.question(), &tokenizer::Tokens::default());
    let mut heads = [0.0_f32; fitted::FALLBACK_OUTPUTS];
    for (head, weights) in heads.iter_mut().zip(&fitted::FALLBACK) {
        *head = weights.iter().zip(&features).map(|(w, x)| w * x).sum();
    }
    let [scores @ .., difficulty, gain, log_output_tokens] = &heads;
    let mut task_probabilities = [0.0; TASK_COUNT];
    softmax(scores, &mut task_probabilities);
    let (task, task_probability) = most_probable(&task_probabilities);
    let from_mean = difficulty - fitted::EVERYDAY_MEAN;
    Classification {
        task: Task::ALL.get(task).copied().unwrap_or(Task::Chat),
        task_probability,
        task_probabilities,
        difficulty: fitted::EVERYDAY_MEAN + confidence(0.5) * from_mean,
        gain: *gain,
        output_tokens: tokens(*log_output_tokens),
        ..Classification::default()
    }
}

/// The latent factors by what is known of such prompts, and as the model states them.
#[inline(never)]
fn factors(heads: &[f32], confidence: f32) -> ([f32; LATENT_COUNT], [i8; LATENT_COUNT]) {
    let mut latent_factors = [0.0; LATENT_COUNT];
    let mut raw_factors = [0; LATENT_COUNT];
    let factors = latent_factors.iter_mut().zip(&mut raw_factors);
    for ((own, raw), value) in factors.zip(slice(heads, fitted::LATENT_FACTORS)) {
        *own = value * confidence;
        *raw = (value * 64.0).round().clamp(-127.0, 127.0) as i8;
    }
    (latent_factors, raw_factors)
}

/// The least standard deviation of the logarithm of an answer's length that the model's word is taken for.
const LEAST_SIGMA: f32 = 0.3;

/// Weights of the measured skills, which share `measured`, and of the everyday one.
fn skill_weights(heads: &[f32], measured: f32) -> [f32; SKILL_COUNT] {
    let mut weights = [0.0; SKILL_COUNT];
    let [skills @ .., everyday] = &mut weights;
    softmax(slice(heads, fitted::SKILL_WEIGHTS), skills);
    for weight in skills {
        *weight *= measured;
    }
    let slope = scalar(heads, fitted::EVERYDAY_SLOPE);
    *everyday = (1.0 - measured) * slope.clamp(fitted::LEAST_SLOPE, fitted::MOST_SLOPE);
    weights
}

/// The most labels of one kind.
const MOST_LABELS: usize = if TASK_COUNT > DOMAIN_COUNT {
    TASK_COUNT
} else {
    DOMAIN_COUNT
};

/// Sets the probabilities of the labels, by both parts of the model.
#[inline(never)]
fn mix_probabilities(
    probabilities: &mut [f32],
    heads: &[f32],
    measured: f32,
    exam: (usize, usize),
    everyday: (usize, usize),
) {
    softmax(slice(heads, exam), probabilities);
    let mut others = [0.0; MOST_LABELS];
    softmax(slice(heads, everyday), &mut others);
    for (own, other) in probabilities.iter_mut().zip(others) {
        *own = measured * *own + (1.0 - measured) * other;
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn slice(heads: &[f32], (start, len): (usize, usize)) -> &[f32] {
    heads.get(start..start + len).unwrap_or(&[])
}

fn scalar(heads: &[f32], (start, _): (usize, usize)) -> f32 {
    heads.get(start).copied().unwrap_or(0.0)
}

/// The index of the greatest probability, and itself.
fn most_probable(probabilities: &[f32]) -> (usize, f32) {
    let greatest = probabilities.iter().copied().fold(0.0, f32::max);
    let index = probabilities.iter().position(|p| *p == greatest);
    (index.unwrap_or(0), greatest)
}

/// Sets `shares` to the probabilities of the logits, summing to 1, as far as there are both. One loop for any number of them: a
/// request runs it five times, and copies unrolled for each number are a hundred cache lines of code.
#[inline(never)]
fn softmax(logits: &[f32], shares: &mut [f32]) {
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut total = 0.0;
    for (share, logit) in shares.iter_mut().zip(logits) {
        *share = (logit - greatest).exp();
        total += *share;
    }
    for share in shares {
        *share /= total.max(f32::MIN_POSITIVE);
    }
}

/// Distance from the training prompts → 0 (as near as nine tenths of them) to 1 (twice as far as any). In between by its
/// logarithm, because distances are ratios.
fn novelty_score(distance: f32) -> f32 {
    let span = (fitted::NOVELTY_HIGH / fitted::NOVELTY_LOW).ln();
    ((distance / fitted::NOVELTY_LOW).max(f32::MIN_POSITIVE).ln() / span).clamp(0.0, 1.0)
}

/// Difficulty transfers badly to prompts unlike the training data, so there it moves towards the mean.
fn shrink(difficulty: f32, uncertainty: f32) -> f32 {
    let from_mean = difficulty - fitted::DIFFICULTY_MEAN;
    fitted::DIFFICULTY_MEAN + confidence(uncertainty) * from_mean
}

/// How much of what the model says is kept: all of it, or a quarter if nothing is known.
fn confidence(uncertainty: f32) -> f32 {
    1.0 - 0.75 * uncertainty
}

/// Expected tokens of the answer, within what answers are.
fn tokens(log_tokens: f32) -> f32 {
    log_tokens.exp().clamp(1.0, MOST_OUTPUT_TOKENS)
}
