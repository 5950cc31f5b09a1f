//! State that an answer brings and its maker wants back: signatures, encrypted reasoning, ids of what the provider stores.
//!
//! Found by the keys that it stands under, at any depth, and kept as marks only: those by which
//! [`crate::api::provider_state`] knows it again in a later request.

use crate::api::Api;
use crate::api::provider_state::Suffix;

/// The most marks that are told apart within one answer: ids come again with every event of a stream.
const MAX_SEEN: usize = 64;

/// How ids begin that are asked for again outside OpenAI's responses: of containers, and of audio.
const IDS: [&[u8]; 3] = [b"container_", b"cntr_", b"audio_"];
const LONGEST_START: usize = 10;

/// What state stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateKind {
    Sealed,
    Id,
}

/// The state of one answer.
#[derive(Debug, Default)]
pub(super) struct StateCollector {
    /// The format of the answer; `None` where nobody wants to know.
    api: Option<Api>,
    /// What the next value is, if it is a string.
    next: Option<StateKind>,
    /// What the string is that is being read.
    what: Option<StateKind>,
    suffix: Suffix,
    start: [u8; LONGEST_START],
    start_len: usize,
    seen: Vec<u64>,
    /// How many of those seen were taken.
    taken: usize,
}

impl StateCollector {
    pub(super) fn watch(&mut self, api: Api) {
        self.api = Some(api);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.api.is_some()
    }

    /// A key was read.
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

    /// Another value than a string stands under the last key, or it is over.
    pub(super) fn ends(&mut self) {
        self.next = None;
    }

    /// A string begins that is no key: whether it is to be fed.
    pub(super) fn begins(&mut self) -> bool {
        self.what = self.next.take();
        self.suffix = Suffix::default();
        self.start_len = 0;
        self.what.is_some()
    }

    /// Takes more of it.
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
        if self.seen.contains(&mark) {
            return;
        }
        if self.seen.len() >= MAX_SEEN && self.taken > 0 {
            self.seen.remove(0);
            self.taken -= 1;
        }
        self.seen.push(mark);
    }

    /// The marks that are new since the last call.
    pub(super) fn take(&mut self) -> Vec<u64> {
        let fresh = self.seen.get(self.taken..).unwrap_or_default().to_vec();
        self.taken = self.seen.len();
        fresh
    }
}
