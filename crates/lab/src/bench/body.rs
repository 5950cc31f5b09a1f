//! Request bodies of a given size: a conversation, as chat clients send it.
//!
//! The text is words in a fixed order, the same in every run; it is not meant to be answered.

use serde_json::{Value, json};

const SYSTEM: &str = "You answer questions about the city's libraries, in two or three sentences.";
const WORDS: &[&str] = &[
    "which", "branch", "keeps", "the", "old", "maps", "of", "harbour", "and", "can", "I", "borrow",
    "them", "for", "a", "school", "project", "about", "trade", "between", "towns", "on", "both",
    "sides", "river", "before", "1850", "?",
];
/// Characters of a user's turn in a long conversation.
const USER_TURN: usize = 400;
/// Characters of the assistant's.
const ASSISTANT_TURN: usize = 2_000;

/// A body for `POST /v1/chat/completions` that asks for this model, of exactly `bytes` bytes (at least about 120).
///
/// Up to 2 KB it is one question; beyond, a conversation of short questions and longer answers.
pub fn with_size(model: &str, bytes: usize) -> Vec<u8> {
    let mut messages = Vec::new();
    let mut length = 0;
    let mut push = |messages: &mut Vec<Value>, role: &str, text: &str| {
        let message = json!({"role": role, "content": text});
        length += message.to_string().len() + 1;
        messages.push(message);
        length
    };
    let mut used = if bytes >= 500 {
        push(&mut messages, "system", SYSTEM)
    } else {
        0
    };
    // A turn costs its text and about 40 bytes of JSON; the last one is cut to size.
    while used + USER_TURN + ASSISTANT_TURN + USER_TURN + 200 < bytes {
        let turn = messages.len();
        push(&mut messages, "user", &text(USER_TURN, turn));
        used = push(&mut messages, "assistant", &text(ASSISTANT_TURN, turn + 1));
    }
    let with_last = |length: usize| {
        let mut all = messages.clone();
        all.push(json!({"role": "user", "content": text(length, messages.len())}));
        json!({"model": model, "messages": all})
            .to_string()
            .into_bytes()
    };
    let empty = with_last(0).len();
    with_last(bytes.saturating_sub(empty))
}

/// Exactly `length` characters of words, beginning with the one at `offset`.
fn text(length: usize, offset: usize) -> String {
    let mut text = String::with_capacity(length + 16);
    for word in WORDS.iter().cycle().skip(offset % WORDS.len()) {
        if text.len() >= length {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    text.truncate(length);
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_their_size_and_are_conversations() {
        for bytes in super::super::SIZES {
            let body = with_size("auto", bytes);
            assert_eq!(body.len(), bytes);
            let body: Value = serde_json::from_slice(&body).unwrap();
            let messages = body.get("messages").unwrap().as_array().unwrap();
            assert_eq!(messages.last().unwrap().get("role").unwrap(), "user");
            assert_eq!(bytes > 5_000, messages.len() > 3, "{bytes}");
        }
    }
}
