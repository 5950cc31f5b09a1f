//! What a conversation demands, turn by turn, and so which backend answers it: the conversation is its own state.
//!
//! Nothing is stored. What was decided for the earlier turns is decided again from the same messages, so that every worker and
//! every proxy says the same. Shares, budgets and what was observed may have been otherwise then: this is what would have been.

use std::borrow::Cow;

use crate::analysis::classifier::{self, Classification};
use crate::analysis::prompt::{Prompt, Turn};
use crate::api::request::{Message, Request, Role};

/// The most turns of a conversation that are classified. Of a longer one the first and the last half of this number
/// count, so only there can a hard turn in the middle be missed. Each costs what a request of one turn costs, and the budget
/// for a body of 100 kB is a millisecond.
pub const MAX_TURNS: usize = 8;

/// What was said of a conversation up to a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index of the turn among the user turns.
    pub turn: usize,
    /// What the conversation up to that turn demands.
    pub said: Classification,
}

/// What the conversation demands after each turn that is classified; never empty. The last one is what it demands now.
///
/// It is what its hardest turn demands, by [`Classification::difficulty`]; of two equally hard ones the later. Of the domains
/// each has the highest probability that any turn had. So a demand never falls as a conversation grows.
pub fn classify(
    prompt: &Prompt<'_>,
    mut classify: impl FnMut(&Turn<'_>) -> Classification,
) -> Vec<Step> {
    let count = prompt.turns.len();
    let half = MAX_TURNS / 2;
    let mut steps: Vec<Step> = Vec::with_capacity(count.min(MAX_TURNS));
    for (turn, text) in prompt.turns.iter().enumerate() {
        if turn >= half && turn + half < count {
            continue;
        }
        let mut said = classify(text);
        if let Some(Step { said: before, .. }) = steps.last() {
            let mut domains = before.domain_probabilities;
            for (most, now) in domains.iter_mut().zip(&said.domain_probabilities) {
                *most = most.max(*now);
            }
            let failed = said.model_failed || before.model_failed;
            if said.difficulty < before.difficulty {
                said = before.clone();
            }
            said.domain_probabilities = domains;
            said.model_failed = failed;
        }
        steps.push(Step { turn, said });
    }
    if steps.is_empty() {
        let nothing = Turn {
            text: Cow::Borrowed(""),
        };
        let said = classifier::from_features(&nothing);
        steps.push(Step { turn: 0, said });
    }
    steps
}

/// About how many tokens the input had when each user turn was the last one: the whole, by the share of the text.
pub fn tokens_by_turn(request: &Request<'_>, input_tokens: u32) -> Vec<u32> {
    let messages = &request.messages;
    let total: f64 = messages.iter().map(bytes).sum();
    let mut seen = 0.0;
    let mut tokens = Vec::new();
    for message in messages {
        seen += bytes(message);
        if is_turn(message) {
            tokens.push(share_of(input_tokens, seen, total));
        }
    }
    tokens
}

/// Where the last answer stands among the messages, if one stands behind the last user turn: an agent's model has called tools
/// and is given their results. Where the API keeps calls out of the messages, the first result stands for the answer.
pub fn answered_at(request: &Request<'_>) -> Option<usize> {
    let messages = &request.messages;
    let behind = messages.iter().rposition(is_turn)? + 1;
    let answers = || messages.iter().enumerate().skip(behind);
    let is_answer = |role: Role| move |(_, one): &(usize, &Message<'_>)| one.role == role;
    let last = answers().rfind(is_answer(Role::Assistant));
    let found = last.or_else(|| answers().find(is_answer(Role::Tool)));
    found.map(|(index, _)| index)
}

/// About how many tokens the input had before its message `index`.
pub fn tokens_before(request: &Request<'_>, input_tokens: u32, index: usize) -> u32 {
    let total: f64 = request.messages.iter().map(bytes).sum();
    let seen: f64 = request.messages.iter().take(index).map(bytes).sum();
    share_of(input_tokens, seen, total)
}

fn share_of(tokens: u32, seen: f64, total: f64) -> u32 {
    (f64::from(tokens) * seen / total.max(1.0)) as u32
}

fn bytes(message: &Message<'_>) -> f64 {
    message.texts.iter().map(|text| text.len() as f64).sum()
}

fn is_turn(message: &Message<'_>) -> bool {
    let has_text = |text: &Cow<'_, str>| !text.trim_ascii().is_empty();
    message.role == Role::User && message.texts.iter().any(has_text)
}
