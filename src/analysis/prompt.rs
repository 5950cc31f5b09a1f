//! The text and the numbers that the classifier sees of a request.
//!
//! Only user turns are classified; the application's instructions and what was said before a turn are its context. Nothing is
//! judged here; that is `classifier`'s.

pub mod question;
mod tokens;

use std::borrow::Cow;

use crate::api::request::{Message, Request, Role};
pub(crate) use tokens::text_tokens;

/// Input tokens of a message besides its text: role and separators.
const TOKENS_PER_MESSAGE: u32 = 4;

/// Usual input tokens of an image: one megapixel at the APIs' default detail.
const TOKENS_PER_IMAGE: u32 = 765;

/// One user turn, as the classifier sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn<'a> {
    /// The user's text in this turn, its parts joined by a line feed.
    pub text: Cow<'a, str>,
    /// The system prompt and earlier turns.
    pub context: Context<'a>,
}

impl<'a> Turn<'a> {
    /// A turn before which nothing was said.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Turn<'a> {
        Turn {
            text: text.into(),
            context: Context::default(),
        }
    }

    /// The turn as the classifier reads it: the question alone.
    pub fn question(&self) -> Turn<'_> {
        Turn {
            text: Cow::Borrowed(question::find(&self.text)),
            context: self.context,
        }
    }
}

/// The system prompt and the turns before a user turn, as far as the classifier reads them: apart from the turn, so that instructions and pasted text
/// cannot drown the question, and a short follow-up still inherits its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context<'a> {
    /// Texts of system messages, the first two of them.
    pub instructions: TwoTexts<'a>,
    /// Texts of the two messages before the turn: what a model answered or a tool returned, and what was asked before that.
    pub conversation: TwoTexts<'a>,
}

/// At most two texts. Each turn of a conversation has its own, so that they stand in place.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TwoTexts<'a> {
    texts: [&'a str; 2],
    count: usize,
}

impl<'a> TwoTexts<'a> {
    /// Puts a text before the others, of which only the first stays.
    fn push_front(&mut self, text: &'a str) {
        let [first, _] = self.texts;
        self.texts = [text, first];
        self.count = (self.count + 1).min(2);
    }

    /// Puts a text behind the others if there is room.
    fn push(&mut self, text: &'a str) {
        if let Some(slot) = self.texts.get_mut(self.count) {
            *slot = text;
            self.count += 1;
        }
    }
}

impl<'a> std::ops::Deref for TwoTexts<'a> {
    type Target = [&'a str];

    fn deref(&self) -> &[&'a str] {
        self.texts.get(..self.count).unwrap_or_default()
    }
}

/// The first two texts of the iterator.
impl<'a> FromIterator<&'a str> for TwoTexts<'a> {
    fn from_iter<I: IntoIterator<Item = &'a str>>(all: I) -> TwoTexts<'a> {
        let mut texts = TwoTexts::default();
        for text in all.into_iter().take(2) {
            texts.push(text);
        }
        texts
    }
}

impl std::fmt::Debug for TwoTexts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Context<'a> {
    /// Adds what `message` says: its first text that is not empty.
    fn add(&mut self, message: &'a Message<'a>) {
        let mut texts = message.texts.iter().map(Cow::as_ref);
        let Some(text) = texts.find(|text| !text.trim_ascii().is_empty()) else {
            return;
        };
        if message.role == Role::System {
            self.instructions.push(text);
        } else {
            self.conversation.push_front(text);
        }
    }

    /// All texts, the conversation's first.
    pub fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.conversation
            .iter()
            .chain(self.instructions.iter())
            .copied()
    }
}

/// A prompt: the classifier's view of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt<'a> {
    /// The user turns with text, oldest first; the last one is the current question. Empty if there is none.
    pub turns: Vec<Turn<'a>>,
    /// Estimated tokens of the whole input: every message, tools and schema included, images by their usual cost.
    pub input_tokens: u32,
    /// Tokens that have to fit into a context window together: of a whole conversation, or of the longest of several inputs.
    pub window_tokens: u32,
}

impl<'a> Prompt<'a> {
    /// The prompt of `request`. Linear in its text; a turn of one part is borrowed, parts are joined into a copy.
    pub fn new(request: &'a Request<'a>) -> Prompt<'a> {
        let mut turns = Vec::new();
        let mut context = Context::default();
        for message in &request.messages {
            if message.role == Role::User {
                turns.extend(turn(message, context));
            }
            context.add(message);
        }
        let input_tokens = input_tokens(request);
        Prompt {
            turns,
            input_tokens,
            window_tokens: match request.inputs {
                0 | 1 => input_tokens,
                _ => longest_input(request),
            },
        }
    }
}

/// The turn of a message; `None` if it has no text.
fn turn<'a>(message: &'a Message<'a>, context: Context<'a>) -> Option<Turn<'a>> {
    let text = match message.texts.as_slice() {
        [] => return None,
        [part] => Cow::Borrowed(part.as_ref()),
        parts => Cow::Owned(parts.join("\n")),
    };
    (!text.trim_ascii().is_empty()).then_some(Turn { text, context })
}

fn input_tokens(request: &Request<'_>) -> u32 {
    let texts = request.messages.iter().flat_map(|message| &message.texts);
    let text: f32 = texts.map(|text| text_tokens(text)).sum();
    // JSON is short words and punctuation: fewer bytes a token than prose.
    let schema = request.schema_bytes as f32 / 3.3;
    let messages = u32::try_from(request.messages.len()).unwrap_or(u32::MAX);
    let fixed = messages
        .saturating_mul(TOKENS_PER_MESSAGE)
        .saturating_add(request.images.saturating_mul(TOKENS_PER_IMAGE));
    // A float too large for u32 saturates.
    ((text + schema).ceil() as u32)
        .saturating_add(fixed)
        .saturating_add(request.token_ids)
}

/// Tokens of the longest input, of inputs that are answered separately.
fn longest_input(request: &Request<'_>) -> u32 {
    let texts = request.messages.iter().flat_map(|message| &message.texts);
    let longest = texts.map(|text| text_tokens(text)).fold(0.0, f32::max);
    (longest.ceil() as u32)
        .max(request.longest_token_ids)
        .saturating_add(TOKENS_PER_MESSAGE)
}

#[cfg(test)]
mod tests;
