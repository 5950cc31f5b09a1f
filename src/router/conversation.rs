//! What a conversation demands, turn by turn, and so which backend answers it: the conversation is its own state.
//!
//! Nothing is stored. What was decided for the earlier turns is decided again from the same messages, so that every worker and
//! every proxy says the same. Shares, budgets and what was observed may have been otherwise then: this is what would have been.

use std::borrow::Cow;

use crate::classifier::{self, Classification};
use crate::prompt::{Prompt, Turn};
use crate::request::{Request, Role};

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
            if said.difficulty < before.difficulty {
                said = before.clone();
            }
            said.domain_probabilities = domains;
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
    let bytes = |texts: &[Cow<'_, str>]| texts.iter().map(|text| text.len() as f64).sum::<f64>();
    let messages = &request.messages;
    let total: f64 = messages.iter().map(|message| bytes(&message.texts)).sum();
    let mut seen = 0.0;
    let mut tokens = Vec::new();
    for message in messages {
        seen += bytes(&message.texts);
        let has_text = message
            .texts
            .iter()
            .any(|text| !text.trim_ascii().is_empty());
        if message.role == Role::User && has_text {
            tokens.push((f64::from(input_tokens) * seen / total.max(1.0)) as u32);
        }
    }
    tokens
}
