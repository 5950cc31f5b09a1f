//! A JSON document scanned for a handful of numbers, byte by byte, however it is cut: no value is kept, nothing is built.
//!
//! Lenient: of bytes that are no JSON it makes nothing, or nonsense that no key matches. Keys are compared as they are
//! written; no server escapes letters in them.

use super::said::Said;
use crate::request::json::plain_end;

/// How many levels of a document are told apart; what matters stands above them.
const LEVELS: usize = 8;
/// The longest key that matters, in bytes.
const LONGEST_KEY: usize = 32;

/// The numbers of a response, each as it was last stated.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) total: Option<u64>,
    /// OpenAI's cached tokens, which are part of the input.
    pub(super) cached: Option<u64>,
    /// Anthropic's, which are not.
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) reasoning: Option<u64>,
    /// Whether output was stated at the top of a document.
    pub(super) at_top: bool,
    /// Whether an answer has begun: a choice, or an event that is named as one of an answer.
    pub(super) has_begun: bool,
    /// Whether it was said that the answer is over, well or not.
    pub(super) is_over: bool,
    /// What it says beside its tokens.
    pub(super) said: Said,
    /// Whether this document has a choice that is one.
    pub(super) has_choices: bool,
    /// Whether this document has a list of choices.
    lists_choices: bool,
    /// Whether this document has usage at its top.
    has_usage: bool,
}

impl Found {
    /// Ends an event and says whether it said nothing but the usage.
    pub(super) fn end_event(&mut self) -> bool {
        let is_usage = self.has_usage && self.lists_choices && !self.has_choices;
        self.said.end_event();
        self.has_usage = false;
        self.lists_choices = false;
        self.has_choices = false;
        is_usage
    }

    fn take(&mut self, place: Place, key: Key, number: u64) {
        let slot = match (place, key) {
            (Place::Usage | Place::TopUsage | Place::Metrics, Key::Input) => &mut self.input,
            (Place::Usage | Place::TopUsage | Place::Metrics, Key::Output) => {
                self.at_top |= place == Place::TopUsage;
                &mut self.output
            }
            (Place::Usage | Place::TopUsage, Key::Total) => &mut self.total,
            (Place::Usage | Place::TopUsage | Place::InputDetails, Key::Cached) => &mut self.cached,
            (Place::Usage | Place::TopUsage | Place::Metrics, Key::CacheRead) => {
                &mut self.cache_read
            }
            (Place::Usage | Place::TopUsage | Place::Metrics, Key::CacheWrite) => {
                &mut self.cache_write
            }
            (Place::OutputDetails, Key::Reasoning) => &mut self.reasoning,
            (Place::Choice, Key::Index) => return self.said.choice_index(number),
            (Place::Top | Place::Error, Key::Code) => return self.said.error_code(number),
            _ => return,
        };
        *slot = Some(number);
    }
}

/// What an object or list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Nothing that matters.
    #[default]
    Other,
    /// A list of documents, of which errors come from those that are like Gemini.
    List,
    /// The document.
    Top,
    /// An object that holds usage one level further down.
    Wrap,
    Choices,
    Choice,
    /// What a choice, or an event, brings: `message` or `delta`.
    Part,
    /// Tool calls of it.
    Calls,
    /// What an answer of OpenAI's responses consists of.
    Items,
    Item,
    /// Pieces of content.
    Blocks,
    Block,
    Error,
    TopUsage,
    Usage,
    InputDetails,
    OutputDetails,
    /// Bedrock's own count, beside Anthropic's.
    Metrics,
}

/// A key that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Key {
    #[default]
    Other,
    Wrap,
    Choices,
    Usage,
    InputDetails,
    OutputDetails,
    Metrics,
    Input,
    Output,
    Total,
    Cached,
    CacheRead,
    CacheWrite,
    Reasoning,
    FinishReason,
    Type,
    Error,
    Index,
    Code,
    Object,
    Delta,
    Content,
    Text,
    Name,
    Calls,
    Call,
    Items,
    Item,
    Block,
}

/// Events that are the last ones of an answer: Anthropic's, and those of OpenAI's responses.
const LAST: [&[u8]; 6] = [
    b"message_stop",
    b"error",
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
    b"response.cancelled",
];

fn key(name: &[u8]) -> Key {
    match name {
        b"message" | b"response" | b"x_groq" => Key::Wrap,
        b"choices" => Key::Choices,
        b"usage" => Key::Usage,
        b"prompt_tokens_details" | b"input_tokens_details" => Key::InputDetails,
        b"completion_tokens_details" | b"output_tokens_details" => Key::OutputDetails,
        b"amazon-bedrock-invocationMetrics" => Key::Metrics,
        b"prompt_tokens" | b"input_tokens" | b"inputTokenCount" => Key::Input,
        b"completion_tokens" | b"output_tokens" | b"outputTokenCount" => Key::Output,
        b"total_tokens" => Key::Total,
        b"cached_tokens" | b"prompt_cache_hit_tokens" | b"num_cached_tokens" => Key::Cached,
        b"cache_read_input_tokens" | b"cacheReadInputTokenCount" => Key::CacheRead,
        b"cache_creation_input_tokens" | b"cacheWriteInputTokenCount" => Key::CacheWrite,
        b"reasoning_tokens" => Key::Reasoning,
        b"finish_reason" | b"stop_reason" => Key::FinishReason,
        b"type" => Key::Type,
        b"error" => Key::Error,
        b"index" => Key::Index,
        b"code" | b"status" => Key::Code,
        b"object" => Key::Object,
        b"delta" => Key::Delta,
        b"content" => Key::Content,
        b"text" | b"reasoning_content" | b"reasoning" | b"thinking" | b"partial_json"
        | b"refusal" => Key::Text,
        b"name" => Key::Name,
        b"tool_calls" | b"images" => Key::Calls,
        b"function_call" | b"audio" => Key::Call,
        b"output" => Key::Items,
        b"item" => Key::Item,
        b"content_block" => Key::Block,
        _ => Key::Other,
    }
}

/// What the object or list under `key` of `outer` is.
const fn inside(outer: Place, key: Key) -> Place {
    match (outer, key) {
        (Place::Top, Key::Usage) => Place::TopUsage,
        (Place::Top, Key::Wrap) => Place::Wrap,
        (Place::Top, Key::Choices) => Place::Choices,
        (Place::Top, Key::Metrics) => Place::Metrics,
        (Place::List, _) => Place::Top,
        (Place::Top | Place::Wrap | Place::Choice, Key::Error) => Place::Error,
        (Place::Choices, _) => Place::Choice,
        (Place::Choice, Key::Wrap | Key::Delta) | (Place::Top, Key::Delta) => Place::Part,
        (Place::Part, Key::Calls) => Place::Calls,
        (Place::Part | Place::Item | Place::Top, Key::Content) => Place::Blocks,
        (Place::Blocks, _) | (Place::Top, Key::Block) => Place::Block,
        (Place::Top | Place::Wrap, Key::Items) => Place::Items,
        (Place::Items, _) | (Place::Top, Key::Item) => Place::Item,
        (Place::Wrap | Place::Choice, Key::Usage) => Place::Usage,
        (Place::Usage | Place::TopUsage, Key::InputDetails) => Place::InputDetails,
        (Place::Usage | Place::TopUsage, Key::OutputDetails) => Place::OutputDetails,
        _ => Place::Other,
    }
}

/// Where in a document the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Scan {
    mode: Mode,
    depth: u32,
    /// One bit for each level: 1 an object. The innermost lowest.
    objects: u128,
    places: [Place; LEVELS],
    key: Key,
    name: [u8; LONGEST_KEY],
    /// Bytes of the key so far, also those that found no room.
    name_len: usize,
    /// A string that begins now is a key.
    wants_key: bool,
    /// The string is text of the answer.
    in_text: bool,
    seen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Between,
    String,
    StringEscape,
    KeyName,
    KeyEscape,
    /// A short text that matters, such as the name of an event.
    Name,
    Number(u64),
    /// A number, or the rest of one, that is no count.
    NoCount,
    /// Nested deeper than any response is.
    Lost,
}

impl Scan {
    /// Takes the next bytes of the document.
    pub(super) fn feed(&mut self, bytes: &[u8], found: &mut Found) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            at = match self.mode {
                Mode::Between => {
                    self.between(byte, found);
                    at + 1
                }
                Mode::String => self.string(bytes, at, found),
                Mode::KeyName => {
                    self.key_name(byte, found);
                    at + 1
                }
                Mode::Name => {
                    self.name(byte, found);
                    at + 1
                }
                Mode::StringEscape => {
                    self.mode = Mode::String;
                    at + 1
                }
                Mode::KeyEscape => {
                    self.mode = Mode::KeyName;
                    self.name_len = LONGEST_KEY + 1;
                    at + 1
                }
                Mode::Number(_) | Mode::NoCount => at + self.number(byte, found),
                Mode::Lost => return,
            };
        }
    }

    /// Whether a document came to its end.
    pub(super) fn is_at_end(&self) -> bool {
        self.seen && self.depth == 0 && self.mode == Mode::Between
    }

    fn place(&self) -> Place {
        let level = (self.depth as usize).checked_sub(1);
        level
            .and_then(|level| self.places.get(level))
            .copied()
            .unwrap_or_default()
    }

    fn between(&mut self, byte: u8, found: &mut Found) {
        match byte {
            b'"' if self.wants_key => {
                self.wants_key = false;
                self.name_len = 0;
                self.key = Key::Other;
                // A key where nothing matters is passed over as any string.
                self.mode = match self.place() {
                    Place::Other => Mode::String,
                    _ => Mode::KeyName,
                };
            }
            b'"' => self.begin_text(),
            b'{' | b'[' => self.open(byte == b'{', found),
            b'}' | b']' => {
                if byte == b'}' && self.place() == Place::Choice {
                    found.is_over |= found.said.close_choice();
                }
                self.depth = self.depth.saturating_sub(1);
                self.objects >>= 1;
                self.wants_key = false;
                self.key = Key::Other;
            }
            b',' => {
                self.wants_key = self.objects & 1 == 1;
                self.key = Key::Other;
            }
            b'0'..=b'9' => self.mode = Mode::Number(u64::from(byte - b'0')),
            b'-' => self.mode = Mode::NoCount,
            _ => {}
        }
    }

    /// A string that is no key.
    fn begin_text(&mut self) {
        self.mode = Mode::String;
        match (self.place(), self.key) {
            (Place::Choice | Place::Part | Place::Top, Key::FinishReason)
            | (Place::Top, Key::Type | Key::Object | Key::Code)
            | (Place::Top | Place::Wrap | Place::Choice, Key::Error)
            | (Place::Error, Key::Type | Key::Code)
            | (Place::Item, Key::Type) => {
                self.name_len = 0;
                self.mode = Mode::Name;
            }
            (Place::Part, Key::Content | Key::Text)
            | (Place::Choice, Key::Text)
            | (Place::Top, Key::Delta | Key::Content)
            | (Place::Block, Key::Text | Key::Name)
            | (Place::Item, Key::Content) => self.in_text = true,
            _ => {}
        }
    }

    /// The short text is there.
    fn named(&mut self, found: &mut Found) {
        let name = self.name.get(..self.name_len).unwrap_or(&self.name);
        let place = self.place();
        match (place, self.key) {
            (_, Key::FinishReason) => found.said.finish(name, place == Place::Choice),
            (Place::Item, Key::Type) => {
                if !matches!(name, b"message" | b"reasoning") {
                    found.said.thing();
                }
            }
            (_, Key::Error) if !name.is_empty() => {
                found.said.error();
                found.is_over |= place == Place::Top;
            }
            (Place::Top, Key::Object) => {
                if name == b"error" {
                    found.said.error();
                }
            }
            (Place::Top, Key::Type) => {
                let begins: [&[u8]; 3] = [b"message_", b"content_block_", b"response."];
                found.has_begun |= begins.iter().any(|start| name.starts_with(start));
                found.is_over |= LAST.contains(&name);
                match name {
                    b"error" | b"response.failed" => found.said.error(),
                    _ => found.said.error_name(name),
                }
            }
            (_, Key::Type | Key::Code) => found.said.error_name(name),
            _ => {}
        }
    }

    fn open(&mut self, is_object: bool, found: &mut Found) {
        self.seen = true;
        // No event is a list, but for `[DONE]`, which looks like one.
        found.is_over |= match self.depth {
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
            found.said.thing();
        }
        match place {
            Place::Choices => found.lists_choices = true,
            Place::Choice => {
                found.has_choices = true;
                found.has_begun = true;
            }
            Place::TopUsage => found.has_usage = true,
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

    /// Passes over a string and says where that comes to.
    fn string(&mut self, bytes: &[u8], at: usize, found: &mut Found) -> usize {
        let end = plain_end(bytes, at);
        if self.in_text {
            let escapes = bytes.get(end) == Some(&b'\\');
            let length = end - at + usize::from(escapes);
            // What stands in blocks and items was brought before, or is said again.
            let counted = !matches!(self.place(), Place::Block | Place::Item);
            found.said.text(length, counted);
        }
        match bytes.get(end) {
            Some(b'"') => {
                self.in_text = false;
                self.mode = Mode::Between;
            }
            Some(b'\\') => self.mode = Mode::StringEscape,
            Some(_) => {}
            None => return end,
        }
        end + 1
    }

    fn key_name(&mut self, byte: u8, found: &mut Found) {
        match byte {
            b'"' => {
                let name = self.name.get(..self.name_len).unwrap_or_default();
                self.key = key(name);
                if self.place() == Place::Error {
                    found.said.error();
                }
                self.mode = Mode::Between;
            }
            b'\\' => self.mode = Mode::KeyEscape,
            _ => self.push_name(byte),
        }
    }

    fn name(&mut self, byte: u8, found: &mut Found) {
        match byte {
            b'"' => {
                self.named(found);
                self.mode = Mode::Between;
            }
            // No name that is known has one.
            b'\\' => {
                self.push_name(b'\\');
                self.named(found);
                self.mode = Mode::StringEscape;
            }
            _ => self.push_name(byte),
        }
    }

    fn push_name(&mut self, byte: u8) {
        if let Some(slot) = self.name.get_mut(self.name_len) {
            *slot = byte;
        }
        self.name_len = self.name_len.saturating_add(1);
    }

    /// Takes a byte of a number, or ends it without the byte; says how many bytes that took. A fraction is dropped.
    fn number(&mut self, byte: u8, found: &mut Found) -> usize {
        match (self.mode, byte) {
            (Mode::Number(value), b'0'..=b'9') => {
                let digit = u64::from(byte - b'0');
                self.mode = Mode::Number(value.saturating_mul(10).saturating_add(digit));
                1
            }
            (_, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => {
                self.mode = Mode::NoCount;
                1
            }
            (Mode::Number(value), _) => {
                self.mode = Mode::Between;
                found.take(self.place(), self.key, value);
                0
            }
            _ => {
                self.mode = Mode::Between;
                0
            }
        }
    }
}
