//! Why answers end, in the words of the APIs: a closed list, so that what is printed of it is bounded.

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
