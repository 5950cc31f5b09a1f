//! The expected length of an answer: what the prompt and the system text ask for, on top of what the classifier expects.
//!
//! Lengths are log-normal: a median and the standard deviation of the logarithm. The classifier says both; a wish that is
//! found in the text ("800 words", "at most two sentences", "one word", "JSON with these fields") moves them, the more the
//! more exact it is. Only the first and the last part of a text is read, in one pass and without allocation: instructions
//! stand there, and between them what is to be worked on.

mod cues;
mod instruction;

use super::classifier::{Classification, MOST_OUTPUT_TOKENS, MOST_SIGMA, Task, UNKNOWN_SIGMA};
use super::prompt::{Turn, text_tokens};
use instruction::LengthInstruction;

/// The least spread of an answer's length.
const LEAST_SIGMA: f32 = 0.15;
/// Standard normal quantiles of 0.9 and 0.99.
const Z90: f32 = 1.2816;
const Z99: f32 = 2.3263;

/// How long an answer is: a log-normal distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerLength {
    /// Its median, in tokens.
    pub median: f32,
    /// Standard deviation of its natural logarithm.
    pub sigma: f32,
}

/// The text that an answer's length depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct LengthInput<'a> {
    /// The last user turn.
    pub text: &'a str,
    /// The application's instructions.
    pub system: &'a str,
    /// The assistant's turn before it; empty if there is none.
    pub previous: &'a str,
}

/// Puts what `turn` asks for into what the classifier expects of its answer.
pub fn refine(classification: &mut Classification, turn: &Turn<'_>) {
    let input = LengthInput {
        text: &turn.text,
        system: turn
            .context
            .instructions
            .first()
            .copied()
            .unwrap_or_default(),
        previous: turn
            .context
            .conversation
            .first()
            .copied()
            .unwrap_or_default(),
    };
    let length =
        AnswerLength::from_classification(classification).asked_for(&input, classification.task);
    classification.output_tokens = length.median;
    classification.output_tokens_sigma = length.sigma;
}

impl AnswerLength {
    /// The length if nothing tells it.
    pub const UNKNOWN: AnswerLength = AnswerLength {
        median: 256.0,
        sigma: UNKNOWN_SIGMA,
    };

    /// The length that a classification expects.
    pub fn from_classification(classification: &Classification) -> AnswerLength {
        AnswerLength::new(
            classification.output_tokens,
            classification.output_tokens_sigma,
        )
    }

    /// This median and spread, within what answers are.
    pub fn new(median: f32, sigma: f32) -> AnswerLength {
        let finite = |value: f32, or: f32| if value.is_finite() { value } else { or };
        AnswerLength {
            median: finite(median, AnswerLength::UNKNOWN.median).clamp(1.0, MOST_OUTPUT_TOKENS),
            sigma: finite(sigma, UNKNOWN_SIGMA).clamp(LEAST_SIGMA, MOST_SIGMA),
        }
    }

    /// The length of the answer to `input`, of which the classifier expects this, taking it for a `task`.
    #[must_use]
    pub fn asked_for(self, input: &LengthInput<'_>, task: Task) -> AnswerLength {
        let own = LengthInstruction::find(input.text);
        let system = LengthInstruction::find(input.system);
        let mut length = self;
        if let Some((share, sigma)) = copied_share(task) {
            length = length.copying(input, share, sigma);
        } else if continues(input.text) {
            length = length.copying(input, 1.0, CONTINUED_SIGMA);
        }
        if own.is_detailed || system.is_detailed {
            length = length.times(DETAILED);
        }
        // A label needs no text: a single word, a number, one of some names.
        if own.is_label(task) || (system.is_label(task) && own.tokens.is_none()) {
            let sigma = if task == Task::Classification {
                0.3
            } else {
                0.7
            };
            length = length.pulled(LABEL, sigma);
        }
        // A system text says how long answers are at most, less how long this one is.
        match (own.tokens, system.tokens) {
            (Some(instruction), _) if instruction.is_bound => {
                length.held_under(instruction.tokens, 1.0, instruction.sigma)
            }
            (Some(instruction), _) => length.pulled(instruction.tokens, instruction.sigma),
            (_, Some(instruction)) if instruction.is_bound => {
                length.held_under(instruction.tokens, 0.72, instruction.sigma + 0.1)
            }
            (_, Some(instruction)) if !instruction.is_of_part => {
                length.held_under(instruction.tokens, 0.85, instruction.sigma * 1.7)
            }
            _ => length,
        }
    }

    /// The length times `factor`: of hidden reasoning, or of what a backend was seen to write.
    #[must_use]
    pub fn times(self, factor: f32) -> AnswerLength {
        AnswerLength::new(self.median * factor, self.sigma)
    }

    /// The mean of the length if it is cut off at `most` tokens: every token of the distribution beyond it is not written.
    pub fn mean_within(&self, most: f32) -> f32 {
        if most <= 1.0 {
            return most.max(0.0);
        }
        let (mu, sigma) = (self.median.ln(), self.sigma);
        let z = (most.ln() - mu) / sigma;
        let mean = self.median * (sigma * sigma / 2.0).exp();
        // E[min(X, most)] of a log-normal X.
        let below = mean * normal_cdf(z - sigma);
        let above = most * (1.0 - normal_cdf(z));
        (below + above).min(most)
    }

    /// The median of the length if it is cut off at `most` tokens.
    pub fn median_within(&self, most: f32) -> f32 {
        self.median.min(most)
    }

    /// Nine answers of ten have at most so many tokens.
    pub fn p90(&self) -> f32 {
        self.median * (Z90 * self.sigma).exp()
    }

    /// How many times its median a product is at its 99th percentile: of this length and of something else, independent of
    /// it, that is `other_p99` times its own median at its own.
    pub fn p99_ratio(&self, other_p99: f32) -> f32 {
        let other = other_p99.max(1.0).ln() / Z99;
        (Z99 * self.sigma.hypot(other)).exp()
    }

    /// Takes in another estimate of the same length: both logarithms count by their precision.
    fn pulled(self, median: f32, sigma: f32) -> AnswerLength {
        let precision = |sigma: f32| 1.0 / (sigma * sigma).max(1e-3);
        let (own, other) = (precision(self.sigma), precision(sigma));
        let log = (self.median.ln() * own + median.max(1.0).ln() * other) / (own + other);
        AnswerLength::new(log.exp(), (1.0 / (own + other)).sqrt().max(sigma * 0.8))
    }

    /// Keeps to an instruction of at most so many tokens: the nearer the expectation is to it, the more it counts.
    fn held_under(self, most: f32, share: f32, sigma: f32) -> AnswerLength {
        // People state a bound near what they want.
        let near = most * share;
        let loose = if self.median < near {
            BOUND_SLACK
        } else {
            sigma
        };
        let pulled = self.pulled(near, loose);
        AnswerLength::new(pulled.median.min(most), pulled.sigma)
    }

    /// The length of an answer that has a `share` of a given text again.
    fn copying(self, input: &LengthInput<'_>, share: f32, sigma: f32) -> AnswerLength {
        let given = instruction::given_tokens(input.text);
        if given >= LEAST_GIVEN {
            return self.pulled(given * share, sigma);
        }
        match text_tokens(instruction::tail(
            input.previous,
            instruction::LONGEST_GIVEN,
        )) {
            before if before >= LEAST_GIVEN && input.text.len() < SHORT_TURN => {
                self.pulled(before * share, sigma)
            }
            _ => self,
        }
    }
}

/// How much of a given text an answer has again, and how exact that is.
fn copied_share(task: Task) -> Option<(f32, f32)> {
    match task {
        Task::Translation => Some((1.15, 0.6)),
        Task::Rewriting => Some((0.9, 0.75)),
        _ => None,
    }
}

/// Whether a turn asks for more of the answer before it, and for nothing else.
fn continues(text: &str) -> bool {
    let text = text.trim_start();
    let begins = |with: &&str| {
        let head = text.get(..with.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(with))
    };
    text.len() < LONGEST_CONTINUE && CONTINUE.iter().any(begins)
}

/// Beginnings of turns that ask for more.
const CONTINUE: [&str; 24] = [
    "continue",
    "please continue",
    "go on",
    "keep going",
    "keep writing",
    "carry on",
    "weiter",
    "mach weiter",
    "fahre fort",
    "continúa",
    "continua",
    "sigue",
    "segue",
    "ga verder",
    "kontynuuj",
    "продолж",
    "devam",
    "fortsätt",
    "pokračuj",
    "继续",
    "接着",
    "続け",
    "계속",
    "جاری",
];
/// Turns of more bytes ask for something of their own.
const LONGEST_CONTINUE: usize = 48;
/// How exact it is that the next part is as long as the one before.
const CONTINUED_SIGMA: f32 = 0.6;
/// How much longer an answer is that is asked for in detail: rated answers are, by 1.28 and 1.43 times what the classifier
/// alone expects (43 prompts it was trained on, 10 it was not).
const DETAILED: f32 = 1.3;

/// Tokens of an answer that is a word, a number or a label.
const LABEL: f32 = 3.0;
/// How little a bound says of an answer that is expected to be much shorter.
const BOUND_SLACK: f32 = 0.7;
/// The fewest tokens of a given text that is worth copying.
const LEAST_GIVEN: f32 = 12.0;
/// A turn of fewer bytes speaks of what was answered before.
const SHORT_TURN: usize = 160;

/// The standard normal distribution function, to 1e-4 (Abramowitz and Stegun 26.2.17).
fn normal_cdf(z: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let poly = t
        * (0.319_381_53
            + t * (-0.356_563_78 + t * (1.781_477_9 + t * (-1.821_255_9 + t * 1.330_274_4))));
    let tail = 0.398_942_3 * (-z * z / 2.0).exp() * poly;
    if z >= 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests;
