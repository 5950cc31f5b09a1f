//! What an answer says of itself beside its tokens: whether anything is in it, whether it is an error, whether it is over.
//!
//! Backends tell errors with a status of 200 too: as the whole document, or as an event of a stream that has begun. And some
//! answer nothing at all. Neither is an answer.

/// What is wrong with an answer whose status says that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerError {
    /// It is an error, or ends with one.
    Reported,
    /// It is an error that says that the request is wrong: no fault of the backend.
    ClientError,
    /// It has no text, no tool call and no tokens.
    Empty,
}

/// About how many bytes of text a token has, where nothing counts tokens.
const BYTES_PER_TOKEN: u64 = 4;

/// What was read of one answer.
#[derive(Debug, Default)]
pub(super) struct AnswerStatus {
    /// Whether it has text or a tool call.
    pub(super) has_content: bool,
    /// Bytes of the text that a stream has brought.
    text_bytes: u64,
    /// Events that brought something.
    events: u64,
    /// The event that has begun brings something.
    event_has_content: bool,
    is_error: bool,
    blames_client: bool,
    /// It says why it may be empty: the limit of its length, or a filter.
    may_be_empty: bool,
    /// How many choices were asked for, where that is more than one.
    wanted: u32,
    index: u32,
    choice_ends: bool,
    /// The choices that have ended, one bit each.
    ended: u128,
}

impl AnswerStatus {
    /// That of an answer of so many choices.
    pub(super) fn of_choices(wanted: u32) -> AnswerStatus {
        AnswerStatus {
            wanted,
            ..AnswerStatus::default()
        }
    }

    /// It has something that is not text, such as a tool call.
    pub(super) const fn thing(&mut self) {
        self.has_content = true;
        self.event_has_content = true;
    }

    /// It has so many bytes of text, `counted` where they are not said a second time.
    pub(super) const fn text(&mut self, bytes: usize, counted: bool) {
        if bytes > 0 {
            self.thing();
        }
        if counted {
            self.text_bytes = self.text_bytes.saturating_add(bytes as u64);
        }
    }

    /// It is an error.
    pub(super) const fn error(&mut self) {
        self.is_error = true;
    }

    /// What it calls its error, by type, code or status.
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

    /// Which of the choices this one is.
    pub(super) fn choice_index(&mut self, index: u64) {
        self.index = u32::try_from(index).unwrap_or(u32::MAX);
    }

    /// The choice is read; says whether all have ended.
    pub(super) fn close_choice(&mut self) -> bool {
        let index = std::mem::take(&mut self.index);
        if !std::mem::take(&mut self.choice_ends) {
            return false;
        }
        self.ended |= 1_u128.checked_shl(index).unwrap_or(0);
        self.ended.count_ones() >= self.wanted.clamp(1, u128::BITS)
    }

    /// The event is read.
    pub(super) fn end_event(&mut self) {
        self.events += u64::from(std::mem::take(&mut self.event_has_content));
    }

    /// About how many tokens a stream has brought. Events may hold several, and not every one is counted by its bytes: the
    /// larger of both, so that nobody is taken for slow by how it packs its events.
    pub(super) fn streamed_tokens(&self) -> u64 {
        self.events.max(self.text_bytes / BYTES_PER_TOKEN)
    }

    /// What is wrong with it; `tokens` are those of the output, where it says so, and `ended` whether it is all there.
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

/// The reasons that are known, in the words of OpenAI's and Anthropic's APIs.
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

/// What any other reason is called.
const OTHER: &str = "other";

/// The reasons of one answer, each once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FinishReasons(u16);

impl FinishReasons {
    /// Adds the reason of this name.
    pub(super) fn add(&mut self, name: &[u8]) {
        // An empty reason is none.
        if name.is_empty() {
            return;
        }
        let place = KNOWN.iter().position(|known| known.as_bytes() == name);
        self.0 |= 1 << place.unwrap_or(KNOWN.len());
    }

    /// Their names, joined by commas; `None` where none was stated.
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
