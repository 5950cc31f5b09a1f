//! Status of an answer: whether it has content, whether it is an error, whether it is complete, and its finish reasons.
//!
//! Backends report errors with HTTP status 200 too: as the whole document, or as an event of a stream that has begun. And some
//! answers are empty. Neither counts as an answer.

/// Error in an answer whose HTTP status reports none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerError {
    /// The answer is an error, or ends with one.
    Reported,
    /// The answer is an error that blames the request, not the backend.
    ClientError,
    /// The answer has no text, no tool call and no tokens.
    Empty,
}

/// Assumed bytes of text per token, if nothing counts tokens.
const BYTES_PER_TOKEN: u64 = 4;

/// Status of one answer, as far as it was read.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct AnswerStatus {
    /// Whether it has text or a tool call so far.
    pub(super) has_content: bool,
    /// Bytes of the text that a stream has brought.
    text_bytes: u64,
    /// Number of events with content.
    events: u64,
    /// Whether the unfinished event has content.
    event_has_content: bool,
    is_error: bool,
    blames_client: bool,
    /// Whether its finish reason allows it to be empty: a length limit, or a filter.
    may_be_empty: bool,
    /// Number of requested choices, if more than one.
    wanted: u32,
    index: u32,
    choice_ends: bool,
    /// Bit set of the choices that have ended.
    ended: u128,
}

impl AnswerStatus {
    /// Status of an answer with `wanted` choices.
    pub(super) fn with_choices(wanted: u32) -> AnswerStatus {
        AnswerStatus {
            wanted,
            ..AnswerStatus::default()
        }
    }

    /// Notes content that is not text, such as a tool call.
    pub(super) const fn thing(&mut self) {
        self.has_content = true;
        self.event_has_content = true;
    }

    /// Notes bytes of text; `counted` is false for text that the stream repeats.
    pub(super) const fn text(&mut self, bytes: usize, counted: bool) {
        if bytes > 0 {
            self.thing();
        }
        if counted {
            self.text_bytes = self.text_bytes.saturating_add(bytes as u64);
        }
    }

    /// Notes that it is an error.
    pub(super) const fn error(&mut self) {
        self.is_error = true;
    }

    /// Notes the name of its error: type, code or status.
    pub(super) fn error_name(&mut self, name: &[u8]) {
        const CLIENT: [&[u8]; 11] = [
            b"invalid_request",
            b"invalid_argument",
            b"badrequest",
            b"bad_request",
            b"authentication",
            b"permission",
            b"not_found",
            b"too_large",
            b"content_filter",
            b"content_policy",
            b"context_length",
        ];
        let holds = |part: &[u8]| {
            let mut windows = name.windows(part.len());
            windows.any(|window| window.eq_ignore_ascii_case(part))
        };
        self.blames_client |= CLIENT.into_iter().any(holds);
        if let Ok(number) = std::str::from_utf8(name).unwrap_or_default().parse() {
            self.error_code(number);
        }
    }

    /// The status that it gives its error.
    pub(super) const fn error_code(&mut self, code: u64) {
        self.blames_client |= matches!(code, 400..=499) && code != 408 && code != 429;
    }

    /// Why it ends, in its own word; `in_choice` where only that choice does.
    pub(super) fn finish(&mut self, reason: &[u8], in_choice: bool) {
        if reason.is_empty() {
            return;
        }
        self.choice_ends |= in_choice;
        match reason {
            b"error" => self.is_error = true,
            b"stop" | b"end_turn" | b"tool_calls" | b"function_call" | b"tool_use" => {}
            _ => self.may_be_empty = true,
        }
    }

    /// Notes the index of the current choice.
    pub(super) fn choice_index(&mut self, index: u64) {
        self.index = u32::try_from(index).unwrap_or(u32::MAX);
    }

    /// Ends the current choice; returns whether all choices have finished.
    pub(super) fn close_choice(&mut self) -> bool {
        let index = std::mem::take(&mut self.index);
        if !std::mem::take(&mut self.choice_ends) {
            return false;
        }
        self.ended |= 1_u128.checked_shl(index).unwrap_or(0);
        self.ended.count_ones() >= self.wanted.clamp(1, u128::BITS)
    }

    /// Ends the current event.
    pub(super) fn end_event(&mut self) {
        self.events += u64::from(std::mem::take(&mut self.event_has_content));
    }

    /// Estimated number of tokens that a stream has brought: the larger of its events and its text by bytes, so that a backend that
    /// packs several tokens into an event does not look slow.
    pub(super) fn streamed_tokens(&self) -> u64 {
        self.events.max(self.text_bytes / BYTES_PER_TOKEN)
    }

    /// The error in the answer, given its reported output tokens and whether it is complete.
    pub(super) fn failure(&self, tokens: Option<u64>, ended: bool) -> Option<AnswerError> {
        if self.is_error {
            return Some(match self.blames_client {
                true => AnswerError::ClientError,
                false => AnswerError::Reported,
            });
        }
        let nothing = !self.has_content && !self.may_be_empty && tokens.unwrap_or(0) == 0;
        (ended && nothing).then_some(AnswerError::Empty)
    }
}

/// Known finish reasons of OpenAI's and Anthropic's APIs: a closed list, so that what is printed of them is bounded.
const KNOWN: [&str; 15] = [
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "max_output_tokens",
    "compaction",
    "error",
];

/// Name of any other reason.
const OTHER: &str = "other";

/// Set of finish reasons of one answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FinishReasons(u16);

impl FinishReasons {
    /// Adds the reason with this name.
    pub(super) fn add(&mut self, name: &[u8]) {
        // An empty name is no reason.
        if name.is_empty() {
            return;
        }
        let place = KNOWN.iter().position(|known| known.as_bytes() == name);
        self.0 |= 1 << place.unwrap_or(KNOWN.len());
    }

    /// Whether one of these reasons was reported.
    pub fn has_any(self, names: &[&str]) -> bool {
        let mut known = KNOWN.iter().enumerate();
        known.any(|(place, known)| self.0 & 1 << place != 0 && names.contains(known))
    }

    /// The names, joined by commas; `None` if there is none.
    pub fn to_text(self) -> Option<String> {
        let names = KNOWN.iter().chain([&OTHER]).enumerate();
        let stated = names.filter(|(place, _)| self.0 & 1 << place != 0);
        let names: Vec<&str> = stated.map(|(_, name)| *name).collect();
        (!names.is_empty()).then(|| names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_named_once_and_unknown_ones_without_their_text() {
        let mut reasons = FinishReasons::default();
        assert_eq!(reasons.to_text(), None);
        for name in ["length", "stop", "length", "eos, the client's text"] {
            reasons.add(name.as_bytes());
        }
        assert_eq!(reasons.to_text().as_deref(), Some("stop,length,other"));
    }
}
