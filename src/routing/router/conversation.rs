//! The demand of a conversation, turn by turn: it tells which backend answers it. The conversation is its own state.
//!
//! No session is stored. The earlier turns are decided again from the same messages, so every worker and every proxy agrees.
//! Shares, budgets and observations may have been different then; today's count.

use std::borrow::Cow;

use crate::analysis::classifier::{self, Classification};
use crate::analysis::prompt::{Prompt, Turn};
use crate::api::request::{Message, Request, Role};

/// The most turns of a conversation that are classified: of a longer one, the first and the last half of this number. Only
/// there can a hard turn in the middle be missed. Each turn costs as much as a request of one turn, and the time budget of a
/// body of 100 kB is a millisecond.
pub const MAX_TURNS: usize = 8;

/// The classification of a turn, or of a conversation up to it.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnDemand {
    /// Index of the turn among the user turns.
    pub turn: usize,
    /// The demand of that turn, or of the conversation up to it.
    pub classification: Classification,
}

/// Each turn that is classified, by itself; never empty. [`combine`] makes the conversation's demand of them. `classify` gets each
/// with its index among the user turns.
pub fn classify(
    prompt: &Prompt<'_>,
    mut classify: impl FnMut(usize, &Turn<'_>) -> Classification,
) -> Vec<TurnDemand> {
    let count = prompt.turns.len();
    let half = MAX_TURNS / 2;
    let turns = prompt.turns.iter().enumerate();
    let taken = turns.filter(|(turn, _)| *turn < half || turn + half >= count);
    let mut all: Vec<TurnDemand> = taken
        .map(|(turn, text)| TurnDemand {
            turn,
            classification: classify(turn, text),
        })
        .collect();
    if all.is_empty() {
        all.push(TurnDemand {
            turn: 0,
            classification: classifier::from_features(&Turn::new("")),
        });
    }
    all
}

/// The demand of the conversation after each classified turn. The last one is the present demand.
///
/// A conversation demands as much as its hardest turn, by [`Classification::difficulty`]; of two equally hard ones, the later.
/// Each domain has the highest probability of all turns. So the demand never falls as a conversation grows.
pub fn combine(turns: &[TurnDemand]) -> Vec<TurnDemand> {
    let mut steps: Vec<TurnDemand> = Vec::with_capacity(turns.len());
    for own in turns {
        let mut now = own.classification.clone();
        if let Some(TurnDemand {
            classification: before,
            ..
        }) = steps.last()
        {
            let mut domains = before.domain_probabilities;
            for (most, probability) in domains.iter_mut().zip(&now.domain_probabilities) {
                *most = most.max(*probability);
            }
            let failed = now.model_failed || before.model_failed;
            if now.difficulty < before.difficulty {
                // The length of the answer depends on what is asked now.
                now = Classification {
                    output_tokens: now.output_tokens,
                    output_tokens_sigma: now.output_tokens_sigma,
                    ..before.clone()
                };
            }
            now.domain_probabilities = domains;
            now.model_failed = failed;
        }
        steps.push(TurnDemand {
            turn: own.turn,
            classification: now,
        });
    }
    steps
}

/// Estimated tokens of the input up to each user turn: its share of the text, applied to all tokens.
pub fn tokens_by_turn(request: &Request<'_>, input_tokens: u32) -> Vec<u32> {
    let messages = &request.messages;
    let total: f64 = messages.iter().map(bytes).sum();
    let mut part = 0.0;
    let mut tokens = Vec::new();
    for message in messages {
        part += bytes(message);
        if is_turn(message) {
            tokens.push(share_of(input_tokens, part, total));
        }
    }
    tokens
}

/// Index of the last answer among the messages, if one follows the last user turn: an agent's model has called tools and gets
/// their results. If the API keeps calls out of the messages, the first result stands for the answer.
pub fn answered_at(request: &Request<'_>) -> Option<usize> {
    let messages = &request.messages;
    let behind = messages.iter().rposition(is_turn)? + 1;
    let answers = || messages.iter().enumerate().skip(behind);
    let is_answer = |role: Role| move |(_, message): &(usize, &Message<'_>)| message.role == role;
    let last = answers().rfind(is_answer(Role::Assistant));
    let found = last.or_else(|| answers().find(is_answer(Role::Tool)));
    found.map(|(index, _)| index)
}

/// Estimated tokens of the input before its message `index`.
pub fn tokens_before(request: &Request<'_>, input_tokens: u32, index: usize) -> u32 {
    let total: f64 = request.messages.iter().map(bytes).sum();
    let part: f64 = request.messages.iter().take(index).map(bytes).sum();
    share_of(input_tokens, part, total)
}

fn share_of(tokens: u32, part: f64, total: f64) -> u32 {
    (f64::from(tokens) * part / total.max(1.0)) as u32
}

fn bytes(message: &Message<'_>) -> f64 {
    message.texts.iter().map(|text| text.len() as f64).sum()
}

fn is_turn(message: &Message<'_>) -> bool {
    let has_text = |text: &Cow<'_, str>| !text.trim_ascii().is_empty();
    message.role == Role::User && message.texts.iter().any(has_text)
}
