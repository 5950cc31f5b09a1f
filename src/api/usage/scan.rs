//! Scans a JSON document, cut anywhere, for a handful of numbers. It keeps no value and builds nothing.
//!
//! Lenient: bytes that are not JSON give nothing, or nonsense that no key matches. Keys are compared as written; no server escapes
//! letters in them.

use std::ops::Range;

use super::keys::{Key, LAST, LONGEST_KEY, Place, inside, key};
use super::parsed::ParsedAnswer;
use crate::api::json::plain_end;

/// Number of levels of a document that are distinguished; the keys of interest are above them.
const LEVELS: usize = 8;
/// Position in a document.
#[derive(Debug, Default, Clone)]
pub(super) struct Scan {
    mode: Mode,
    depth: u32,
    /// One bit for each level, the innermost lowest: 1 is an object.
    objects: u128,
    places: [Place; LEVELS],
    key: Key,
    name: [u8; LONGEST_KEY],
    /// Length of the key so far, which may exceed the buffer.
    name_len: usize,
    /// Whether a string that begins now is a key.
    wants_key: bool,
    /// Whether the string is text of the answer.
    in_text: bool,
    /// Whether the string is content that is checked.
    is_checked: bool,
    has_document: bool,
    /// Number of bytes of the document that were fed before.
    fed: usize,
    texts: Texts,
    /// The string among `texts` that is being read.
    reads: Option<OpenText>,
}

/// Offsets in a document of values in which alike events differ; empty for one that is not there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    /// The digits of a number of no interest before the text, such as that of the event.
    pub(super) number: Range<usize>,
    /// The first text of the answer, without its quotes.
    pub(super) text: Range<usize>,
    /// A string behind it that nothing is read from, without its quotes, such as OpenAI's padding against eavesdroppers.
    pub(super) padding: Range<usize>,
}

/// A value among [`Texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenText {
    Number,
    Text,
    Padding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Between,
    String,
    StringEscape,
    KeyName,
    KeyEscape,
    /// A short text of interest, such as the name of an event.
    Name,
    /// Provider state.
    State,
    Number(u64),
    /// The fraction of a number, which is dropped.
    Fraction(u64),
    /// A number that is not a count.
    NoCount,
    /// Nested deeper than any response.
    Lost,
}

impl Scan {
    /// Scans the next bytes of the document.
    pub(super) fn feed(&mut self, bytes: &[u8], parsed: &mut ParsedAnswer) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            at = match self.mode {
                Mode::Between => {
                    self.between(byte, parsed);
                    match self.mode {
                        Mode::String => self.note_string(at + 1),
                        Mode::Number(_) => self.note_number(at),
                        _ => {}
                    }
                    at + 1
                }
                Mode::String => self.string(bytes, at, parsed),
                Mode::KeyName | Mode::Name => {
                    let end = plain_end(bytes, at);
                    self.push_name(bytes.get(at..end).unwrap_or_default());
                    match bytes.get(end) {
                        Some(byte) if self.mode == Mode::Name => self.name(*byte, parsed),
                        Some(byte) => self.key_name(*byte, parsed),
                        None => {}
                    }
                    end + 1
                }
                Mode::State => {
                    let end = plain_end(bytes, at);
                    let ends = bytes.get(end) == Some(&b'"');
                    parsed
                        .collector
                        .feed(bytes.get(at..end).unwrap_or_default(), ends);
                    if ends {
                        self.mode = Mode::Between;
                    }
                    end + 1
                }
                Mode::StringEscape => {
                    if self.is_checked {
                        parsed.content.feed(&[byte], false);
                    }
                    self.mode = Mode::String;
                    at + 1
                }
                Mode::KeyEscape => {
                    self.mode = Mode::KeyName;
                    self.name_len = LONGEST_KEY + 1;
                    at + 1
                }
                Mode::Number(_) | Mode::Fraction(_) | Mode::NoCount => {
                    let read = self.number(byte, parsed);
                    if !matches!(self.mode, Mode::Number(_)) {
                        self.note_end(at);
                    }
                    at + read
                }
                Mode::Lost => return,
            };
        }
        self.fed = self.fed.saturating_add(bytes.len());
    }

    /// Values of the document, as far as it was read.
    pub(super) fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Notes the offset in the present bytes at which a number begins.
    fn note_number(&mut self, at: usize) {
        let is_first = self.texts.number.start == 0 && self.texts.text.start == 0;
        if is_first && self.place() == Place::Top && self.key == Key::Other {
            let at = self.fed.saturating_add(at);
            self.texts.number = at..at;
            self.reads = Some(OpenText::Number);
        }
    }

    /// Notes the offset in the present bytes at which the text of a string begins.
    fn note_string(&mut self, at: usize) {
        let at = self.fed.saturating_add(at);
        if self.in_text && self.texts.text.start == 0 {
            self.texts.text = at..at;
            self.reads = Some(OpenText::Text);
        } else if !self.texts.text.is_empty()
            && self.texts.padding.start == 0
            && self.key == Key::Envelope
            && !self.in_text
            && !self.is_checked
        {
            self.texts.padding = at..at;
            self.reads = Some(OpenText::Padding);
        }
    }

    /// Notes the offset in the present bytes at which a value ends.
    fn note_end(&mut self, at: usize) {
        let at = self.fed.saturating_add(at);
        match self.reads.take() {
            Some(OpenText::Number) => self.texts.number.end = at,
            Some(OpenText::Text) => self.texts.text.end = at,
            Some(OpenText::Padding) => self.texts.padding.end = at,
            None => {}
        }
    }

    /// Whether a document is complete.
    pub(super) fn is_at_end(&self) -> bool {
        self.has_document && self.depth == 0 && self.mode == Mode::Between
    }

    fn place(&self) -> Place {
        let level = (self.depth as usize).checked_sub(1);
        level
            .and_then(|level| self.places.get(level))
            .copied()
            .unwrap_or_default()
    }

    fn between(&mut self, byte: u8, parsed: &mut ParsedAnswer) {
        match byte {
            b'"' if self.wants_key => {
                self.wants_key = false;
                self.name_len = 0;
                self.key = Key::Other;
                // A key in a place of no interest is skipped like any string.
                self.mode = match self.place() {
                    Place::Other if !parsed.collector.is_enabled() => Mode::String,
                    _ => Mode::KeyName,
                };
            }
            b'"' if parsed.collector.begins() => self.mode = Mode::State,
            b'"' => self.begin_text(parsed),
            b'{' | b'[' => self.open(byte == b'{', parsed),
            b't' | b'f' => self.begin_value(parsed),
            b'}' | b']' => {
                if byte == b'}' && self.place() == Place::Choice {
                    parsed.is_over |= parsed.status.close_choice();
                }
                self.depth = self.depth.saturating_sub(1);
                self.objects >>= 1;
                self.wants_key = false;
                self.key = Key::Other;
            }
            b',' => {
                parsed.collector.ends();
                self.wants_key = self.objects & 1 == 1;
                self.key = Key::Other;
            }
            b'0'..=b'9' => {
                self.begin_value(parsed);
                self.mode = Mode::Number(u64::from(byte - b'0'));
            }
            b'-' => {
                self.begin_value(parsed);
                self.mode = Mode::NoCount;
            }
            _ => {}
        }
    }

    /// Notes the start of a value that is not `null`.
    fn begin_value(&self, parsed: &mut ParsedAnswer) {
        let is_envelope = matches!(
            self.key,
            Key::Envelope
                | Key::Object
                | Key::Model
                | Key::Choices
                | Key::Usage
                | Key::Timings
                | Key::Groq
        );
        parsed.says_more |= self.place() == Place::Top && !is_envelope;
    }

    /// Notes the start of a string that is not a key.
    fn begin_text(&mut self, parsed: &mut ParsedAnswer) {
        self.begin_value(parsed);
        self.mode = Mode::String;
        match (self.place(), self.key) {
            (Place::Choice, Key::FinishReason | Key::StopReason)
            | (Place::Part | Place::Top | Place::Wrap, Key::StopReason)
            | (Place::Top, Key::Type | Key::Object | Key::Code)
            | (Place::Top | Place::Wrap, Key::Model | Key::Status)
            | (Place::Incomplete, Key::Reason)
            | (Place::Top | Place::Wrap | Place::Choice, Key::Error)
            | (Place::Error, Key::Type | Key::Code | Key::Status)
            | (Place::Item, Key::Type) => {
                self.name_len = 0;
                self.mode = Mode::Name;
            }
            (Place::Part, Key::Content | Key::Text | Key::OtherText | Key::PartialJson)
            | (Place::Choice, Key::Text | Key::OtherText | Key::PartialJson)
            | (Place::Top, Key::Delta | Key::Content)
            | (Place::Block, Key::Text | Key::OtherText | Key::PartialJson | Key::Name)
            | (Place::Item, Key::Content) => self.in_text = true,
            _ => {}
        }
        self.is_checked = parsed.content.begins(self.place(), self.key);
    }

    /// Uses a short text of interest.
    fn named(&mut self, parsed: &mut ParsedAnswer) {
        let name = self.name.get(..self.name_len).unwrap_or(&self.name);
        let place = self.place();
        if self.key == Key::Type {
            parsed.content.named(place, name);
        }
        match (place, self.key) {
            (_, Key::FinishReason | Key::StopReason | Key::Reason) => {
                parsed.status.finish(name, place == Place::Choice);
                // In a choice it is the client's own stop text, besides the reason.
                if (place, self.key) != (Place::Choice, Key::StopReason) {
                    parsed.finish.add(name);
                }
            }
            (_, Key::Model) => {
                let is_gemini = |part: &[u8]| part.eq_ignore_ascii_case(b"gemini");
                parsed.rules.hidden_reasoning |= name.windows(6).any(is_gemini);
            }
            (Place::Top | Place::Wrap, Key::Status) => {
                match name {
                    b"completed" => parsed.finish.add(b"stop"),
                    b"failed" => parsed.finish.add(b"error"),
                    _ => {}
                }
                if place == Place::Top {
                    parsed.status.error_name(name);
                }
            }
            (Place::Item, Key::Type) if matches!(name, b"message" | b"reasoning") => {}
            (Place::Item, Key::Type) => parsed.status.thing(),
            (_, Key::Error) if !name.is_empty() => {
                parsed.status.error();
                parsed.is_over |= place == Place::Top;
            }
            (Place::Top, Key::Object) if name == b"error" => parsed.status.error(),
            (Place::Top, Key::Type) => {
                let begins: [&[u8]; 3] = [b"message_", b"content_block_", b"response."];
                parsed.has_begun |= begins.iter().any(|start| name.starts_with(start));
                parsed.is_over |= LAST.contains(&name);
                match name {
                    b"error" | b"response.failed" => parsed.status.error(),
                    _ => parsed.status.error_name(name),
                }
            }
            (_, Key::Type | Key::Code | Key::Status) => parsed.status.error_name(name),
            _ => {}
        }
    }

    fn open(&mut self, is_object: bool, parsed: &mut ParsedAnswer) {
        self.has_document = true;
        self.begin_value(parsed);
        parsed.collector.ends();
        // No event is a list; `[DONE]` only looks like one.
        parsed.is_over |= match self.depth {
            0 => !is_object,
            _ => self.place() == Place::Top && self.key == Key::Error,
        };
        let outer = self.place();
        let place = match self.depth {
            0 if is_object => Place::Top,
            0 => Place::List,
            _ => inside(outer, self.key),
        };
        if is_object && (outer == Place::Calls || (outer == Place::Part && self.key == Key::Call)) {
            parsed.status.thing();
        }
        match place {
            Place::Choices => parsed.lists_choices = true,
            Place::Choice => {
                parsed.has_choices = true;
                parsed.has_begun = true;
            }
            Place::TopUsage => parsed.has_usage = true,
            _ => {}
        }
        if self.depth == u128::BITS {
            self.mode = Mode::Lost;
            return;
        }
        if let Some(slot) = self.places.get_mut(self.depth as usize) {
            *slot = place;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        self.wants_key = is_object;
        self.key = Key::Other;
    }

    /// Skips a string as far as it is there; returns the offset after it.
    fn string(&mut self, bytes: &[u8], at: usize, parsed: &mut ParsedAnswer) -> usize {
        let end = plain_end(bytes, at);
        if self.in_text {
            let escapes = bytes.get(end) == Some(&b'\\');
            let length = end - at + usize::from(escapes);
            // The text of blocks and items was counted before, or comes again.
            let counted = !matches!(self.place(), Place::Block | Place::Item);
            parsed.status.text(length, counted);
        }
        if self.is_checked {
            let escapes = usize::from(bytes.get(end) == Some(&b'\\'));
            let ends = bytes.get(end) == Some(&b'"');
            let part = bytes.get(at..end + escapes).unwrap_or_default();
            parsed.content.feed(part, ends);
        }
        match bytes.get(end) {
            Some(b'"') => {
                self.note_end(end);
                self.in_text = false;
                self.is_checked = false;
                self.mode = Mode::Between;
            }
            Some(b'\\') => self.mode = Mode::StringEscape,
            Some(_) => {}
            None => return end,
        }
        end + 1
    }

    fn key_name(&mut self, byte: u8, parsed: &mut ParsedAnswer) {
        match byte {
            b'"' => {
                let name = self.name.get(..self.name_len).unwrap_or_default();
                self.key = key(name);
                parsed.collector.key(name);
                if self.place() == Place::Error {
                    parsed.status.error();
                }
                self.mode = Mode::Between;
            }
            b'\\' => self.mode = Mode::KeyEscape,
            _ => self.push_name(&[byte]),
        }
    }

    fn name(&mut self, byte: u8, parsed: &mut ParsedAnswer) {
        match byte {
            b'"' => {
                self.named(parsed);
                self.mode = Mode::Between;
            }
            // No known name has an escape.
            b'\\' => {
                self.push_name(b"\\");
                self.named(parsed);
                self.mode = Mode::StringEscape;
            }
            _ => self.push_name(&[byte]),
        }
    }

    fn push_name(&mut self, bytes: &[u8]) {
        let free = self.name.get_mut(self.name_len..).unwrap_or_default();
        for (slot, byte) in free.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        self.name_len = self.name_len.saturating_add(bytes.len());
    }

    /// Reads a byte of a number, or ends the number before it; returns the number of bytes read. A fraction is dropped.
    fn number(&mut self, byte: u8, parsed: &mut ParsedAnswer) -> usize {
        match (self.mode, byte) {
            (Mode::Number(value), b'0'..=b'9') => {
                let digit = u64::from(byte - b'0');
                self.mode = Mode::Number(value.saturating_mul(10).saturating_add(digit));
                1
            }
            (Mode::Number(value), b'.') => {
                self.mode = Mode::Fraction(value);
                1
            }
            (Mode::Fraction(_), b'0'..=b'9') => 1,
            (_, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => {
                self.mode = Mode::NoCount;
                1
            }
            (Mode::Number(value) | Mode::Fraction(value), _) => {
                self.mode = Mode::Between;
                parsed.take(self.place(), self.key, value);
                0
            }
            _ => {
                self.mode = Mode::Between;
                0
            }
        }
    }
}
