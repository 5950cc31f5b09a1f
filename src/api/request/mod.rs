//! Parses request bodies of all APIs into one [`Request`].
//!
//! Parsing borrows from the body what routing needs. Everything else is skipped, never copied, and stays in the body as it was;
//! [`rewrite`](super::rewrite) replaces little more than the model's name.
//!
//! The meaning of bodies that JSON leaves open, or that servers read differently:
//!
//! | body | meaning |
//! |---|---|
//! | value of another type (`"256"`, `256.0`, `"true"`, `7` for a name, `null`) | counts if it is clear, else the field is absent; the bytes stay |
//! | key twice, or in another case (`Messages`, `maxTokens`) | both are read, as some server does: texts, needs and users of both count, the larger number, the last exact `model`; every top-level `model` is rewritten, whatever its case and value |
//! | part, item, role or field that no API has | its texts are [`Request::asides`]: rules find them, nothing else looks at them |
//! | escaped key (`"mod\u0065l"`) | the same key |
//! | lone surrogate (`"\ud800"`) | read as U+FFFD; the bytes stay |
//! | bytes that are not UTF-8, UTF-16, control characters in strings, `NaN`, leading zeros, text after the end | not JSON |
//! | UTF-8 byte order mark | skipped, and stays |
//! | more than 128 levels deep | wrong shape |
//! | number too large | the largest there is, of answers what the API allows; negative: no limit |
//! | truncated (`complete` false) | whole values count; of a truncated value only texts do, up to the cut |

pub(super) mod answer_bounds;
mod anthropic_messages;
mod content;
mod fields;
mod messages;
mod names;
mod openai_chat;
mod openai_completions;
mod openai_responses;
pub mod top_level;
pub mod unparsed;

use std::borrow::Cow;
use std::ops::Range;

use crate::api::json::{Cursor, MAX_DEPTH, ParseError};
use crate::api::provider_state::ProviderState;
use crate::api::{Api, Capabilities};
pub use answer_bounds::WrittenBound;
use content::Conversation;
use top_level::TopLevelFields;

/// Author of a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application (`system`, and OpenAI's newer `developer`).
    System,
    /// The person or program that asks; also any role that no API has, because rules look at users' texts.
    User,
    /// An earlier answer of a model.
    Assistant,
    /// The result of a tool call (`tool`, and OpenAI's older `function`), and such roles of open models as `ipython` and
    /// `document`: material to work on.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    /// Its author.
    pub role: Role,
    /// Its text parts in order, refusals included; [`Request`] counts the other parts.
    pub texts: Vec<Cow<'a, str>>,
}

/// A request body, as far as routing needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// The API it speaks.
    pub api: Api,
    /// The requested model or profile; `None` if the field is missing, or may come after the cut.
    pub model: Option<Cow<'a, str>>,
    /// Other models that it names, if the key comes more than once in any case: a server may read one of them.
    pub other_models: Vec<Cow<'a, str>>,
    /// Whether a key is exactly `model`.
    pub has_model: bool,
    /// Spans of the values of `model` in the body, quotes included, in order, for [`rewrite`](super::rewrite). More than one if
    /// the key comes more than once, in any case.
    pub model_spans: Vec<Range<usize>>,
    /// These values as written.
    pub model_values: Vec<&'a str>,
    /// The conversation, in order.
    pub messages: Vec<Message<'a>>,
    /// Texts in places where the API has none, by their likely author: a server may still read them. Rules find them; they are
    /// neither classified nor counted as input.
    pub asides: Vec<Message<'a>>,
    /// JSON values of messages that a model reads but that are not text of the conversation: arguments of tool calls, documents
    /// to answer from. [`Request::raw_texts`] reads them.
    pub raw_values: Vec<&'a str>,
    /// Capabilities that a model needs to answer (tools, vision, JSON schema, …).
    pub needs: Capabilities,
    /// Number of offered tools.
    pub tools: u32,
    /// Number of attached images, over all messages.
    pub images: u32,
    /// Bytes of tool definitions, tool calls and response schema: they count as input tokens but not as prompt.
    pub schema_bytes: u32,
    /// Hashes ([`fnv::hash32`](crate::fnv::hash32)) of the members that the response schema requires of its outermost object, at
    /// most [`MAX_REQUIRED`](crate::api::usage::MAX_REQUIRED).
    pub required_members: Vec<u32>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client asked for usage at the end of the stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Place of `stream_options`; `None` if it is missing.
    pub usage_slot: Option<UsageSlot>,
    /// Maximum number of tokens in the answer, if limited (`max_completion_tokens`, `max_tokens` or `max_output_tokens`); 0 for
    /// embeddings, which write nothing.
    pub max_tokens: Option<u32>,
    /// Places of these numbers in a body of which only the first part is held. Unknown ones stay as they are.
    pub written_bounds: Vec<WrittenBound>,
    /// Number of requested answers (`n` or `best_of`, for each input), at most as many as the API allows; 1 by default, never 0.
    pub choices: u32,
    /// Number of inputs, each answered separately (completions, embeddings); 1 for a conversation, never 0.
    pub inputs: u32,
    /// Input tokens given as token ids, over all inputs.
    pub token_ids: u32,
    /// Maximum number of token ids in one input.
    pub longest_token_ids: u32,
    /// The end user that the client names (`user`, or `safety_identifier`, or Anthropic's `metadata.user_id`).
    pub user: Option<Cow<'a, str>>,
    /// Other users that it names, in other fields or in a repeated one.
    pub other_users: Vec<Cow<'a, str>>,
    /// Strings and numbers of `metadata` as written, in order.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Whether the whole document was parsed; `false` if only its first part was held, so that any field, `model` too, may still
    /// follow.
    pub complete: bool,
    /// Its provider state, if [`Request::find_state`] was called.
    pub state: ProviderState,
    /// Whether it could carry provider state. A chat of nothing but texts and images, as most are, need not be searched for it.
    pub may_carry_state: bool,
}

/// Place of `stream_options.include_usage`, or the place for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageSlot {
    /// `stream_options` is `null`, at these bytes.
    NoOptions(Range<usize>),
    /// `stream_options` is an object without the field.
    Inside {
        /// Offset after its brace.
        at: usize,
        /// Whether the object is empty.
        is_empty: bool,
    },
    /// The field has a value, at these bytes.
    Value(Range<usize>),
    /// `stream_options` is something else: the backend judges it.
    Unknown,
}

impl<'a> Request<'a> {
    /// Finds provider state in `body`, or in the first part of it, from which the request was read.
    pub fn find_state(&mut self, body: &[u8]) {
        if !self.may_carry_state {
            return;
        }
        if let Ok(text) = utf8(body, false) {
            self.state = ProviderState::find(self.api, text);
        }
    }

    /// A request without any field.
    pub(crate) fn empty(api: Api) -> Request<'a> {
        Request {
            api,
            model: None,
            other_models: Vec::new(),
            has_model: false,
            model_spans: Vec::new(),
            model_values: Vec::new(),
            messages: Vec::new(),
            asides: Vec::new(),
            raw_values: Vec::new(),
            needs: Capabilities::NONE,
            tools: 0,
            images: 0,
            schema_bytes: 0,
            required_members: Vec::new(),
            stream: false,
            include_usage: false,
            usage_slot: None,
            max_tokens: None,
            written_bounds: Vec::new(),
            choices: 1,
            inputs: 1,
            token_ids: 0,
            longest_token_ids: 0,
            user: None,
            other_users: Vec::new(),
            metadata: Vec::new(),
            complete: false,
            state: ProviderState::default(),
            may_carry_state: true,
        }
    }

    /// Takes over the conversation and `schema_bytes` of tools and schemas; tools are counted already.
    fn take(&mut self, conversation: Conversation<'a>, schema_bytes: usize) {
        self.messages = conversation.messages;
        self.asides = conversation.asides;
        self.raw_values = conversation.raw_values;
        self.images = conversation.images;
        self.needs = conversation.needs;
        self.need(self.tools > 0, Capabilities::TOOLS);
        self.add_schema_bytes(schema_bytes.saturating_add(conversation.call_bytes));
    }

    fn add_schema_bytes(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.schema_bytes = self.schema_bytes.saturating_add(bytes);
    }

    /// Adds the short top-level fields of the whole body to a request that was parsed from its first part. A value in both counts
    /// once.
    ///
    /// # Errors
    /// If such a field is not JSON, or `model` comes too often.
    pub fn join(&mut self, tail: &'a TopLevelFields) -> Result<(), InvalidRequest> {
        fn add<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
            for item in more {
                if !all.contains(&item) {
                    all.push(item);
                }
            }
        }
        let short = tail.read(self.api)?;
        self.model = short.model;
        self.other_models = short.other_models;
        self.has_model = short.has_model;
        self.model_spans = short.model_spans;
        self.model_values = short.model_values;
        self.stream |= short.stream;
        self.include_usage |= short.include_usage;
        self.usage_slot = short.usage_slot;
        self.max_tokens = self.max_tokens.max(short.max_tokens);
        self.written_bounds = tail.answer_bounds();
        let inputs = if short.inputs > 1 { 1 } else { self.inputs };
        self.choices = self
            .choices
            .max(answer_bounds::total(short.choices, inputs));
        self.tools = self.tools.max(short.tools);
        self.images = self.images.max(short.images);
        self.needs = self.needs.union(short.needs);
        if let Some(user) = short.user {
            let before = self.user.replace(user);
            add(&mut self.other_users, before.into_iter().collect());
        }
        add(&mut self.other_users, short.other_users);
        add(&mut self.metadata, short.metadata);
        add(&mut self.messages, short.messages);
        add(&mut self.asides, short.asides);
        add(&mut self.raw_values, short.raw_values);
        self.may_carry_state |= short.may_carry_state;
        self.complete = tail.is_complete;
        Ok(())
    }

    /// The texts in [`Request::raw_values`], decoded on demand because few policies look at them.
    pub fn raw_texts(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a, '_> {
        self.raw_values.iter().flat_map(|value| {
            let mut texts = Vec::new();
            // The value was parsed before; if the body's end cuts it, the texts before the cut count.
            let _cut = Cursor::new(value, 0).texts(&mut texts);
            texts
        })
    }

    /// Whether the requested model may still follow, so that a decision could not be written into the body.
    pub fn may_name_another_model(&self) -> bool {
        !self.complete && (self.model.is_none() || !self.has_model)
    }

    fn need(&mut self, needed: bool, capability: Capabilities) {
        if needed {
            self.needs = self.needs.union(capability);
        }
    }
}

/// Error of a body that is not a request. The text names problem and place, and never quotes the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRequest {
    /// The body is not JSON.
    NotJson {
        /// Byte offset of the error in the body.
        offset: usize,
        /// The problem there; never text of the body.
        problem: String,
    },
    /// The body is JSON, but not an object, or nested too deep.
    WrongShape {
        /// Path to the value; `body` for the whole.
        at: String,
        /// Byte offset of the value in the body, or of the value from which it is missing.
        offset: usize,
        /// The expected and the found value; never text of the body.
        problem: String,
    },
}

impl std::fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            InvalidRequest::NotJson { offset, problem } => {
                write!(f, "body is not JSON: {problem} at byte {offset}")
            }
            InvalidRequest::WrongShape {
                at,
                offset,
                problem,
            } => write!(f, "{at}: {problem} at byte {offset}"),
        }
    }
}

impl std::error::Error for InvalidRequest {}

/// Parses `body` as a request of `api`, in one pass that is linear in its length and needs a bounded stack.
///
/// With `complete` false the body is the first part of a longer one. Truncated values count as absent, except that a text of a
/// message counts up to the cut (a truncated name or number would be another one).
///
/// # Errors
/// [`InvalidRequest`] if the body is not JSON, or not an object.
///
/// ```
/// use pointsman::api::{Api, request::parse};
///
/// let body = br#"{"model": "auto", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 16}"#;
/// let request = parse(Api::OpenAiChat, body, true)?;
/// assert_eq!(request.model.as_deref(), Some("auto"));
/// assert_eq!(request.messages[0].texts, ["hi"]);
/// assert_eq!(request.max_tokens, Some(16));
/// # Ok::<(), pointsman::api::request::InvalidRequest>(())
/// ```
pub fn parse(api: Api, body: &[u8], complete: bool) -> Result<Request<'_>, InvalidRequest> {
    let text = utf8(body, complete)?;
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let request = match api {
        Api::OpenAiChat => openai_chat::read(text, start, complete),
        Api::OpenAiResponses => openai_responses::read(text, start, complete),
        Api::OpenAiCompletions | Api::OpenAiEmbeddings => {
            openai_completions::read(api, text, start, complete)
        }
        Api::AnthropicMessages => anthropic_messages::read(text, start, complete),
    };
    request.map_err(|stop| match stop {
        ParseError::Cut => InvalidRequest::NotJson {
            offset: body.len(),
            problem: "the body ends too early".into(),
        },
        ParseError::NotJson { offset, problem } => InvalidRequest::NotJson {
            offset,
            problem: problem.into(),
        },
        ParseError::TooDeep { offset } => InvalidRequest::WrongShape {
            at: "body".into(),
            offset,
            problem: format!("nested more than {MAX_DEPTH} levels deep"),
        },
        ParseError::NotAnObject { offset, found } => InvalidRequest::WrongShape {
            at: "body".into(),
            offset,
            problem: format!("expected an object, found {}", found.name()),
        },
    })
}

/// Parses `body` as [`parse`] does, and finds its provider state.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_state(
    api: Api,
    body: &[u8],
    complete: bool,
) -> Result<Request<'_>, InvalidRequest> {
    let mut request = parse(api, body, complete)?;
    request.find_state(body);
    Ok(request)
}

/// The body as text, without a character that the cut splits.
fn utf8(body: &[u8], complete: bool) -> Result<&str, InvalidRequest> {
    let (offset, problem) = match body {
        // Every UTF-16 document has a zero byte here: it starts with an ASCII brace or white space.
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..] => {
            (0, "expected UTF-8, found UTF-16 or binary data")
        }
        // The fast check says only whether it is; where it is not, the exact one says so.
        _ => match simdutf8::basic::from_utf8(body).or_else(|_| std::str::from_utf8(body)) {
            Ok(text) => return Ok(text),
            Err(error) if error.error_len().is_none() && !complete => {
                let whole = body.get(..error.valid_up_to()).unwrap_or_default();
                return Ok(std::str::from_utf8(whole).unwrap_or_default());
            }
            Err(error) => (error.valid_up_to(), "expected UTF-8, found other bytes"),
        },
    };
    Err(InvalidRequest::NotJson {
        offset,
        problem: problem.into(),
    })
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]
mod tests;
