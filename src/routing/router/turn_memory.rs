//! The classifications of turns that were classified a request ago: a conversation is sent anew with each turn, and most of its
//! turns are the same as before.
//!
//! A classification depends on the text of a turn and on its context alone, so what is kept is what would be found again. Only
//! turns before the last are looked up: a conversation that begins is always classified. One memory per worker, of a fixed size.

use std::hash::{BuildHasher, RandomState};

use super::conversation::{self, TurnDemand};
use super::{Router, classifies_pinned};
use crate::analysis::answer_length;
use crate::analysis::classifier::{self, Classification};
use crate::analysis::prompt::{Prompt, Turn};
use crate::api::Api;
use crate::api::request::Request;
use crate::policy::Policy;

/// How many turns are kept, each in the place that its key picks; about 60 kB.
const PLACES: usize = 256;

/// The most bytes of a turn and its context together that are hashed: of longer ones the classifier reads less than that.
const MAX_BYTES: usize = 16 * 1024;

/// Classifications by turn.
#[derive(Default)]
pub(super) struct TurnMemory {
    /// The keys of the hash: secret, so that no client can make one turn stand for another. Nothing is kept without them.
    keys: Option<RandomState>,
    kept: Vec<Option<(u64, Classification)>>,
}

impl TurnMemory {
    /// An empty memory that hashes with these keys.
    pub(super) fn new(keys: RandomState) -> TurnMemory {
        TurnMemory {
            keys: Some(keys),
            kept: Vec::new(),
        }
    }

    /// The key of a turn; `None` if it is not kept.
    pub(super) fn key(&self, turn: &Turn<'_>) -> Option<u64> {
        let keys = self.keys.as_ref()?;
        let bytes = turn.context.texts().map(str::len).sum::<usize>() + turn.text.len();
        let context = (&*turn.context.instructions, &*turn.context.conversation);
        (bytes <= MAX_BYTES).then(|| keys.hash_one((&*turn.text, context)))
    }

    /// The classification of the turn with this key.
    pub(super) fn find(&self, key: u64) -> Option<&Classification> {
        match self.kept.get(place(key))? {
            Some((known, classification)) if *known == key => Some(classification),
            _ => None,
        }
    }

    /// Keeps the classification of the turn with this key in the place of an older one.
    pub(super) fn keep(&mut self, key: u64, classification: &Classification) {
        if self.kept.is_empty() {
            self.kept.resize_with(PLACES, || None);
        }
        if let Some(slot) = self.kept.get_mut(place(key)) {
            *slot = Some((key, classification.clone()));
        }
    }
}

fn place(key: u64) -> usize {
    (key % PLACES as u64) as usize
}

impl Router {
    /// Keeps the classifications of turns for the next request of their conversation, by a hash with these secret keys. Decisions
    /// are the same with and without it.
    pub fn remember_turns(&mut self, keys: RandomState) {
        self.turn_memory = TurnMemory::new(keys);
    }

    /// The classification of each turn by itself; empty if nothing needs it.
    pub(super) fn classify(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        prompt: &Prompt<'_>,
        pinned: bool,
    ) -> Vec<TurnDemand> {
        let embeds = request.api == Api::OpenAiEmbeddings;
        let classifies = classifies_pinned(policy) || policy.keeps_receipts();
        if embeds || (pinned && !classifies) {
            return Vec::new();
        }
        let last = prompt.turns.len().saturating_sub(1);
        conversation::classify(prompt, |index, turn| {
            let Some(key) = self.turn_memory.key(turn) else {
                return self.classify_turn(turn);
            };
            if let Some(known) = self.turn_memory.find(key).filter(|_| index < last) {
                return known.clone();
            }
            let classification = self.classify_turn(turn);
            if !classification.model_failed {
                self.turn_memory.keep(key, &classification);
            }
            classification
        })
    }

    fn classify_turn(&mut self, turn: &Turn<'_>) -> Classification {
        let mut classification = self
            .classifier
            .as_mut()
            .and_then(|classifier| classifier.classify(turn).ok())
            .unwrap_or_else(|| Classification {
                model_failed: true,
                ..classifier::from_features(turn)
            });
        answer_length::refine(&mut classification, turn);
        classification
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::analysis::prompt::{Context, TwoTexts};

    fn turn<'a>(text: &'a str, instructions: &'a str, conversation: &'a str) -> Turn<'a> {
        Turn {
            text: text.into(),
            context: Context {
                instructions: TwoTexts::from_iter([instructions]),
                conversation: TwoTexts::from_iter([conversation]),
            },
        }
    }

    #[test]
    fn a_turn_is_found_by_its_text_and_its_context() {
        let mut memory = TurnMemory::new(RandomState::new());
        let key = memory.key(&turn("a", "b", "c")).unwrap_or_default();
        assert_eq!(memory.find(key), None);
        let classification = Classification {
            difficulty: 1.5,
            ..Classification::default()
        };
        memory.keep(key, &classification);
        assert_eq!(memory.find(key), Some(&classification));
        for other in [
            turn("ab", "", "c"),
            turn("a", "bc", ""),
            turn("a", "c", "b"),
            turn("A", "b", "c"),
            Turn::new("a"),
        ] {
            let other = memory.key(&other).unwrap_or_default();
            assert_eq!(memory.find(other), None);
        }
    }

    #[test]
    fn a_conversation_is_decided_alike_with_and_without_memory() {
        let policy = include_str!("../../../envoy/policies/demo.json");
        let policy = Policy::compile(policy).unwrap();
        let (mut plain, mut remembering) = (Router::new().0, Router::new().0);
        remembering.remember_turns(RandomState::new());
        let messages = [
            r#"{"role":"system","content":"You are brief."}"#,
            r#"{"role":"user","content":"Prove that the square root of two is irrational."}"#,
            r#"{"role":"assistant","content":"Assume that it is p/q."}"#,
            r#"{"role":"user","content":"And of three?"}"#,
            r#"{"role":"assistant","content":"It is alike."}"#,
            r#"{"role":"user","content":"Thanks! Now translate that into French."}"#,
        ];
        for end in [2, 4, 6, 6, 4] {
            let body = format!(
                r#"{{"model":"auto","messages":[{}]}}"#,
                messages[..end].join(",")
            );
            let route =
                |router: &mut Router| router.route(&policy, Api::OpenAiChat, body.as_bytes(), true);
            assert_eq!(route(&mut plain), route(&mut remembering), "{body}");
        }
        let kept = |router: &Router| router.turn_memory.kept.iter().flatten().count();
        assert_eq!(kept(&plain), 0);
        // Two turns may have one place: the keys are random.
        assert!((1..=3).contains(&kept(&remembering)));
    }

    #[test]
    fn long_turns_are_not_kept_and_without_keys_none_is() {
        let long = "x".repeat(MAX_BYTES);
        let memory = TurnMemory::new(RandomState::new());
        assert!(memory.key(&Turn::new(long.as_str())).is_some());
        assert!(memory.key(&turn(&long, "b", "c")).is_none());
        assert!(TurnMemory::default().key(&Turn::new("a")).is_none());
    }
}
