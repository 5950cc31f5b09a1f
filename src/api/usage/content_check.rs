//! Looks at the content of an answer as it passes: whether its text is JSON, and whether the arguments of its tool calls are.
//!
//! Follows the strings that the scan hands over, undoes their escapes, and keeps no text, unless the first bytes of it are asked for.
//! Answers with several choices are not looked at.

use super::json_check::JsonCheck;
use super::keys::{Key, Place};
use super::text_start::TextStart;
use crate::api::Api;
use crate::api::held_text::HeldText;
use crate::api::json::unescape::{Unescape, Unescaped};

/// The form that an answer has to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The text has to be JSON.
    pub is_json: bool,
    /// Hashes ([`crate::fnv::hash32`]) of the members that its object must have.
    pub required: Vec<u32>,
}

/// The content of one answer.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct ContentCheck {
    /// The API of the answer; `None` if it is not checked.
    api: Option<Api>,
    streams: bool,
    expected: Expectation,
    /// The string that is being read.
    reads: Option<Part>,
    unescape: Unescape,
    text: JsonCheck,
    arguments: JsonCheck,
    /// The call that the arguments belong to.
    call: u64,
    has_calls: bool,
    has_broken_call: bool,
    /// The event brings text of the answer.
    is_text_event: bool,
    /// The item is one of reasoning.
    is_reasoning: bool,
    /// The first bytes of the text, if they are asked for.
    start: Option<Box<TextStart>>,
}

/// A part of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    /// Arguments of a tool call: a piece of them, or all.
    Arguments {
        is_all: bool,
    },
}

/// A character that is not ASCII, as far as JSON's grammar goes.
const OTHER: u8 = 0x80;

impl ContentCheck {
    pub(super) fn enable(&mut self, api: Api, streams: bool, expected: Expectation) {
        self.api = Some(api);
        self.streams = streams;
        self.expected = expected;
    }

    /// Keeps the first `most` bytes of the text as well.
    pub(super) fn keep_text(&mut self, api: Api, streams: bool, most: usize) {
        self.api = Some(api);
        self.streams = streams;
        self.start = Some(Box::new(TextStart::new(most)));
    }

    /// The first bytes of the text; `None` if they were not asked for.
    pub(super) fn take_text(&mut self) -> Option<HeldText> {
        self.start.take().map(|start| start.into_held())
    }

    /// Notes the start of a string that is not a key; returns whether it has to be fed.
    pub(super) fn begins(&mut self, place: Place, key: Key) -> bool {
        let Some(api) = self.api else {
            return false;
        };
        self.reads = self.part(api, place, key);
        self.unescape = Unescape::default();
        if let Some(Part::Arguments { is_all }) = self.reads {
            self.has_calls = true;
            if is_all {
                self.end_call();
            }
        }
        self.reads.is_some()
    }

    fn part(&self, api: Api, place: Place, key: Key) -> Option<Part> {
        match (place, key) {
            (Place::Function, Key::Arguments) => Some(Part::Arguments {
                is_all: !self.streams,
            }),
            (Place::Item | Place::Top, Key::Arguments) => Some(Part::Arguments { is_all: true }),
            (Place::Part, Key::PartialJson) => Some(Part::Arguments { is_all: false }),
            _ if !self.expected.is_json && self.start.is_none() => None,
            (Place::Part, Key::Content) if api == Api::OpenAiChat => Some(Part::Text),
            (Place::Choice, Key::Text) => Some(Part::Text),
            (Place::Part, Key::Text) if api == Api::AnthropicMessages => Some(Part::Text),
            (Place::Top, Key::Delta) if self.is_text_event => Some(Part::Text),
            // In a stream the text of blocks repeats what came before.
            (Place::Block, Key::Text) if !self.streams && !self.is_reasoning => Some(Part::Text),
            _ => None,
        }
    }

    /// Reads more of the string, as it is written; `ends` with its last bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], ends: bool) {
        let mut rest = bytes;
        while let Some(part) = self.unescape.next(&mut rest) {
            if let (Some(Part::Text), Some(start)) = (self.reads, &mut self.start) {
                start.take(part);
            }
            match part {
                Unescaped::Plain(bytes) => self.check(bytes),
                Unescaped::Unit(unit) => {
                    let byte = u8::try_from(unit).ok().filter(u8::is_ascii);
                    self.check(&[byte.unwrap_or(OTHER)]);
                }
            }
        }
        if !ends {
            return;
        }
        match (self.reads, &mut self.start) {
            (Some(Part::Text), Some(start)) => start.end(),
            (Some(Part::Arguments { is_all: true }), _) => self.end_call(),
            _ => {}
        }
    }

    /// Checks bytes that stand for themselves.
    fn check(&mut self, bytes: &[u8]) {
        let (check, required) = match self.reads {
            Some(Part::Text) if self.expected.is_json => {
                (&mut self.text, self.expected.required.as_slice())
            }
            Some(Part::Arguments { .. }) => (&mut self.arguments, &[][..]),
            _ => return,
        };
        for byte in bytes {
            check.feed(*byte, required);
        }
    }

    /// Notes the number of a call, whose arguments come in pieces.
    pub(super) fn call(&mut self, number: u64) {
        if self.api.is_some() && self.streams && number != self.call {
            self.call = number;
            self.end_call();
        }
    }

    /// Notes the name of an event, or the type of an item.
    pub(super) fn named(&mut self, place: Place, name: &[u8]) {
        match place {
            Place::Top => {
                self.is_text_event = name == b"response.output_text.delta";
                if name == b"content_block_stop" {
                    self.end_call();
                }
            }
            Place::Item => self.is_reasoning = name == b"reasoning",
            _ => {}
        }
    }

    /// Ends the arguments of one call. Without any a call needs none.
    fn end_call(&mut self) {
        let ended = std::mem::take(&mut self.arguments);
        self.has_broken_call |= !ended.is_empty() && !ended.is_whole(&[]);
    }

    /// Whether the text is the JSON that was asked for; `None` if none was asked for or there is no text.
    pub(super) fn is_expected_json(&self) -> Option<bool> {
        let is_checked = self.expected.is_json && !self.text.is_empty();
        is_checked.then(|| self.text.is_whole(&self.expected.required))
    }

    /// Whether the arguments of every tool call are JSON; `None` if there is no call.
    pub(super) fn are_arguments_json(&self) -> Option<bool> {
        let last = self.arguments.is_empty() || self.arguments.is_whole(&[]);
        self.has_calls.then_some(!self.has_broken_call && last)
    }
}
