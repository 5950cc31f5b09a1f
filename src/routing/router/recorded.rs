//! A decision on a receipt instead of a request: receipts keep no text, but all that the choice of a backend depends on.
//!
//! Left out is what would differ from one run to the next, or what a receipt does not tell: exploration, shares of models, the
//! backends that answered earlier turns. `pointsman replay` counts and names these.

use super::conversation::TurnDemand;
use crate::analysis::classifier::Classification;
use crate::analysis::prompt::Prompt;
use crate::api::request::Request;
use crate::policy::draw::mix;
use crate::state::receipt::Receipt;

/// The content of a prompt that is known from a receipt. It stands for the prompt's text.
#[derive(Debug, Clone, Copy)]
pub struct RecordedPrompt<'a> {
    classification: &'a Classification,
    input_tokens: u32,
    window_tokens: u32,
    conversation: u64,
}

impl<'a> RecordedPrompt<'a> {
    /// The prompt of a receipt. Its conversation is unknown: a number of its own stands for it, so that rules for a share of the
    /// conversations get that share of the receipts.
    pub const fn new(receipt: &'a Receipt) -> RecordedPrompt<'a> {
        RecordedPrompt {
            classification: &receipt.classification,
            input_tokens: receipt.request.input_tokens,
            window_tokens: receipt.request.window_tokens,
            conversation: mix(receipt.nonce),
        }
    }

    /// A hash that stands for how the conversation begins.
    pub const fn conversation(&self) -> u64 {
        self.conversation
    }

    /// The prompt without its text.
    pub(super) const fn prompt(&self) -> Prompt<'static> {
        Prompt {
            turns: Vec::new(),
            input_tokens: self.input_tokens,
            window_tokens: self.window_tokens,
        }
    }

    /// The demand of the conversation so far.
    pub(super) fn demand(&self) -> TurnDemand {
        TurnDemand {
            turn: 0,
            classification: self.classification.clone(),
        }
    }
}

/// The request of a receipt as far as it is known; `model` is the model or the profile that the client asked for, if that is known.
pub fn recorded_request<'a>(receipt: &Receipt, model: Option<&'a str>) -> Request<'a> {
    let traits = &receipt.request;
    Request {
        model: model.map(Into::into),
        has_model: model.is_some(),
        needs: traits.needs,
        max_tokens: traits.max_tokens,
        choices: traits.choices,
        stream: receipt.flags.streams,
        complete: true,
        ..Request::empty(traits.api)
    }
}
