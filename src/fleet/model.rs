//! A model: a logical LLM with its abilities and limits.

use super::Ability;
use crate::api::Capabilities;

/// A logical LLM.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name in the policy, and what a client asks for to pin it.
    pub name: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The most tokens of input and output together.
    pub context_window: u32,
    /// The most tokens that it writes in one answer.
    pub max_output_tokens: u32,
    /// Output tokens per token of the visible answer, at least 1; more than 1 where it reasons in hidden tokens.
    pub reasoning_tokens_factor: f32,
    /// Its skill, from its benchmark scores.
    pub ability: Ability,
}

/// How long an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerBound {
    /// The most tokens of the answer.
    pub most_tokens: u32,
    /// Tokens of the input that have to fit into the context window with it, estimated.
    pub window_tokens: u32,
}

impl AnswerBound {
    /// The most tokens that `model` can write, where that is less.
    pub fn less_of(self, model: &Model) -> Option<u32> {
        let room = model.context_window.saturating_sub(self.window_tokens);
        let most = model.max_output_tokens.min(room).max(1);
        (most < self.most_tokens).then_some(most)
    }
}
