//! A model, a logical LLM with its ability and limits; and the estimate of one request at one of its backends.

use super::Ability;
use crate::api::Capabilities;

/// Index of a [`Model`] in its [`Registry`](super::Registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub u32);

/// A logical LLM.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name in the policy, and what a client asks for to pin it.
    pub name: String,
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Maximum number of input and output tokens together.
    pub context_window: u32,
    /// Maximum number of tokens in one answer.
    pub max_output_tokens: u32,
    /// Output tokens per token of the visible answer, at least 1; more than 1 where it reasons in hidden tokens.
    pub reasoning_tokens_factor: f32,
    /// Its ability, from benchmark scores or measured outcomes.
    pub ability: Ability,
    /// The models of the policy that are its smaller siblings.
    pub smaller_siblings: Vec<ModelId>,
}

/// Bounds of an answer's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerBound {
    /// Maximum number of tokens in the answer.
    pub most_tokens: u32,
    /// Estimated input tokens that share the context window with the answer.
    pub window_tokens: u32,
}

impl AnswerBound {
    /// Maximum number of tokens that `model` can write, if that is less.
    pub fn less_of(self, model: &Model) -> Option<u32> {
        let room = model.context_window.saturating_sub(self.window_tokens);
        let most = model.max_output_tokens.min(room).max(1);
        (most < self.most_tokens).then_some(most)
    }
}

/// A probability of a correct answer that was learned from outcomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedEstimate {
    /// The probability, 0 to 1.
    pub quality: f32,
    /// Its bounds: nine in ten chances that the true one lies between.
    pub range: [f32; 2],
}

impl LearnedEstimate {
    /// From a logit and its standard deviation.
    pub fn from_logit(logit: f32, deviation: f32) -> LearnedEstimate {
        let p = |logit: f32| 1.0 / (1.0 + (-logit).exp());
        let width = 1.645 * deviation;
        LearnedEstimate {
            quality: p(logit),
            range: [p(logit - width), p(logit + width)],
        }
    }

    /// Whether one could be as good as the other.
    pub fn overlaps(&self, other: &LearnedEstimate) -> bool {
        self.range[0] <= other.range[1] && other.range[0] <= self.range[1]
    }
}

/// Expected quality, cost and latency of one request at one backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Probability of a correct answer, 0 to 1; `None` if the classifier was not asked.
    pub quality: Option<f32>,
    /// The same by benchmark scores and calibration alone, whatever was learned since.
    pub stated_quality: Option<f32>,
    /// The same by what was learned from outcomes, whether or not it is applied; `None` if nothing was.
    pub learned: Option<LearnedEstimate>,
    /// Median tokens of one answer, hidden reasoning included, at most what the request and the model allow.
    pub output_tokens_p50: f32,
    /// 90th percentile of the same tokens.
    pub output_tokens_p90: f32,
    /// Price of the whole exchange, in USD: by the mean length of an answer.
    pub cost_usd: f64,
    /// Median time to the whole answer, in milliseconds.
    pub latency_p50_ms: f32,
    /// 99th percentile of the time to the whole answer, in milliseconds.
    pub latency_p99_ms: f32,
    /// Median time to the first token, in milliseconds.
    pub first_token_p50_ms: f32,
    /// 99th percentile of the time to the first token, in milliseconds.
    pub first_token_p99_ms: f32,
}
