//! Collects provider state from an answer: signatures, encrypted reasoning, ids of stored objects.
//!
//! State is found by its keys at any depth. Only marks are kept, by which [`crate::api::provider_state`] recognises it in a later
//! request.

use crate::api::Api;
use crate::api::provider_state::Suffix;

/// Maximum number of marks that are kept to drop repeated ones: every event of a stream repeats ids.
const MAX_MARKS: usize = 64;

/// Prefixes of ids that come back in requests outside OpenAI's Responses: of containers and of audio.
const IDS: [&[u8]; 3] = [b"container_", b"cntr_", b"audio_"];
const LONGEST_START: usize = 10;

/// Kind of state under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateKind {
    Sealed,
    Id,
}

/// Provider state of one answer.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct StateCollector {
    /// API of the answer; `None` if its state is not collected.
    api: Option<Api>,
    /// Kind of the next value, if it is a string.
    next: Option<StateKind>,
    /// Kind of the current string.
    what: Option<StateKind>,
    suffix: Suffix,
    start: [u8; LONGEST_START],
    start_len: usize,
    marks: Vec<u64>,
    /// Number of marks already returned.
    returned: usize,
}

impl StateCollector {
    pub(super) fn enable(&mut self, api: Api) {
        self.api = Some(api);
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.api.is_some()
    }

    /// Notes a key.
    pub(super) fn key(&mut self, name: &[u8]) {
        if self.api.is_none() {
            return;
        }
        self.next = match name {
            b"signature" | b"thought_signature" | b"data" | b"encrypted_content"
            | b"encrypted_index" => Some(StateKind::Sealed),
            b"id" => Some(StateKind::Id),
            _ => None,
        };
    }

    /// Notes that the last key's value is not a string, or has ended.
    pub(super) fn ends(&mut self) {
        self.next = None;
    }

    /// Notes the start of a string value; returns whether it has to be fed.
    pub(super) fn begins(&mut self) -> bool {
        self.what = self.next.take();
        self.suffix = Suffix::default();
        self.start_len = 0;
        self.what.is_some()
    }

    /// Reads more of the current string.
    pub(super) fn feed(&mut self, bytes: &[u8], is_end: bool) {
        let free = self.start.iter_mut().skip(self.start_len);
        for (slot, byte) in free.zip(bytes) {
            *slot = *byte;
            self.start_len += 1;
        }
        self.suffix.feed(bytes);
        if is_end {
            self.note();
        }
    }

    fn note(&mut self) {
        let start = self.start.get(..self.start_len).unwrap_or_default();
        let counts = self.what == Some(StateKind::Sealed)
            || self.api == Some(Api::OpenAiResponses)
            || IDS.iter().any(|id| start.starts_with(id));
        let Some(mark) = self.suffix.mark().filter(|_| counts) else {
            return;
        };
        if self.marks.contains(&mark) {
            return;
        }
        if self.marks.len() >= MAX_MARKS && self.returned > 0 {
            self.marks.remove(0);
            self.returned -= 1;
        }
        self.marks.push(mark);
    }

    /// The new marks since the last call.
    pub(super) fn take(&mut self) -> Vec<u64> {
        let fresh = self.marks.get(self.returned..).unwrap_or_default().to_vec();
        self.returned = self.marks.len();
        fresh
    }
}
