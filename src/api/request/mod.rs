//! Wire formats of LLM APIs, read into one [`Request`].
//!
//! Parsing looks at what routing needs and borrows it from the body; everything else is skipped, never copied, and stays in
//! the body as it was. What is written back is only the model's name ([`rewrite`]).
//!
//! What bodies mean that JSON leaves open, or that servers read differently:
//!
//! | body | meaning |
//! |---|---|
//! | value of another type (`"256"`, `256.0`, `"true"`, `7` for a name, `null`) | what is clear counts, else the field counts as absent; the bytes stay |
//! | key twice, or in another case (`Messages`, `maxTokens`) | both are read, as some server does: texts, needs and users of both count, the larger number, the last exact `model`; every top-level `model` is rewritten, whatever its case and value |
//! | part, item, role or field that no API has | its texts are [`Request::asides`]: rules find them, nothing else looks at them |
//! | escaped key (`"mod\u0065l"`) | the same key |
//! | lone surrogate (`"\ud800"`) | U+FFFD in what we see; stays as it is in the body |
//! | bytes that are no UTF-8, UTF-16, control characters in strings, `NaN`, leading zeros, text after the end | no JSON |
//! | UTF-8 byte order mark | skipped, and stays |
//! | more than 128 levels deep | wrong shape |
//! | number too large | the largest there is, of answers what the API allows; negative: no limit |
//! | cut off (`complete` false) | what is whole counts; of what is cut only texts do, up to the cut |

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

/// Who speaks in a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application (`system`, and OpenAI's newer `developer`).
    System,
    /// The person or program that asks, and any role that no API has: rules look at what users say.
    User,
    /// An earlier answer of a model.
    Assistant,
    /// The result of a tool call (`tool`, and OpenAI's older `function`), and such roles of open models as `ipython` and
    /// `document`: material to work on, not the one who asks.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// Its text parts in order, refusals included; parts that are no text are counted in [`Request`] instead.
    pub texts: Vec<Cow<'a, str>>,
}

/// What routing needs to know of a request body.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// The API it speaks.
    pub api: Api,
    /// The model or profile that it asks for; `None` where the field is missing, or may come after the cut.
    pub model: Option<Cow<'a, str>>,
    /// Other models that it names, where the key comes more than once, in whatever case: a server may read one of them.
    pub other_models: Vec<Cow<'a, str>>,
    /// Whether a key is `model`, spelt exactly so.
    pub has_model: bool,
    /// Where values of `model` stand in the body, quotes included, in order: what [`rewrite`] replaces. More than one where
    /// the key comes more than once, in whatever case.
    pub model_spans: Vec<Range<usize>>,
    /// These values as they are written.
    pub model_values: Vec<&'a str>,
    /// The conversation, in order.
    pub messages: Vec<Message<'a>>,
    /// Texts that stand in no place where the API has text, by who could be taken to have said them: a server may read them
    /// all the same. Rules find them; they are neither classified nor counted as input.
    pub asides: Vec<Message<'a>>,
    /// JSON values of messages as they stand in the body that are read by a model, yet are no text of the conversation:
    /// arguments of tool calls, documents to answer from. [`Request::raw_texts`] reads them.
    pub raw_values: Vec<&'a str>,
    /// What a model must be able to do to answer (tools, vision, JSON schema, …).
    pub needs: Capabilities,
    /// How many tools are offered.
    pub tools: u32,
    /// How many images are attached, over all messages.
    pub images: u32,
    /// Bytes of tool definitions, tool calls and response schema: they count as input tokens but are no prompt.
    pub schema_bytes: u32,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client asked for usage at the end of the stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Where `stream_options` stands; `None` where it is not there.
    pub usage_slot: Option<UsageSlot>,
    /// The most tokens that the answer may have, if limited (`max_completion_tokens`, or `max_tokens`, or
    /// `max_output_tokens`); 0 where nothing is written (embeddings).
    pub max_tokens: Option<u32>,
    /// Where the numbers that say so stand in a body of which only the first part is at hand. What is not known of is left as
    /// it is.
    pub written_bounds: Vec<WrittenBound>,
    /// How many answers are wanted (`n` or `best_of`, for each input), at most what the API allows; 1 if not said, never 0.
    pub choices: u32,
    /// How many inputs there are, each answered for itself (completions, embeddings); 1 for a conversation, never 0.
    pub inputs: u32,
    /// Input tokens that came as token ids, over all inputs.
    pub token_ids: u32,
    /// The most token ids of one input.
    pub longest_token_ids: u32,
    /// The end user that the client names (`user`, or `safety_identifier`, or Anthropic's `metadata.user_id`).
    pub user: Option<Cow<'a, str>>,
    /// Other users that it names, in other fields or where a field comes twice.
    pub other_users: Vec<Cow<'a, str>>,
    /// Strings and numbers of `metadata` as they are written, in order.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Whether the document was seen to its end; `false` where only its first part was there to decide on, so that any
    /// field, `model` too, may still follow.
    pub complete: bool,
    /// What it carries that only its maker can read, if that was asked for.
    pub state: ProviderState,
}

/// Where `stream_options.include_usage` stands, or could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageSlot {
    /// `stream_options` is `null`; the bytes of that.
    NoOptions(Range<usize>),
    /// It is an object without the field.
    Inside {
        /// The byte after its brace.
        at: usize,
        /// Whether it has no field at all.
        is_empty: bool,
    },
    /// The bytes of the field's value.
    Value(Range<usize>),
    /// `stream_options` is something else: the backend judges it.
    Unknown,
}

impl<'a> Request<'a> {
    /// Looks through its body, or the first part of it, for what only its maker can read.
    pub fn find_state(&mut self, body: &[u8]) {
        if let Ok(text) = utf8(body, false) {
            self.state = ProviderState::find(self.api, text);
        }
    }

    /// A request that says nothing.
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
        }
    }

    /// Takes over what was said, beside `schema_bytes` of tools and schemas; tools are counted already.
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

    /// Takes over what the whole body says in its short fields, where only its first part was read. What both say counts
    /// once.
    ///
    /// # Errors
    /// Where such a field is not JSON, or `model` comes too often.
    pub fn join(&mut self, tail: &'a TopLevelFields) -> Result<(), InvalidRequest> {
        fn add<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
            for one in more {
                if !all.contains(&one) {
                    all.push(one);
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
        self.complete = tail.is_complete;
        Ok(())
    }

    /// The texts in [`Request::raw_values`], decoded when they are asked for: few policies look at them.
    pub fn raw_texts(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a, '_> {
        self.raw_values.iter().flat_map(|value| {
            let mut texts = Vec::new();
            // The value was read before; of one that the body's end cuts off the texts before the cut are there.
            let _cut = Cursor::new(value, 0).texts(&mut texts);
            texts
        })
    }

    /// Whether the model that is asked for may still follow, so that a decision could not be written into the body.
    pub fn may_name_another_model(&self) -> bool {
        !self.complete && (self.model.is_none() || !self.has_model)
    }

    fn need(&mut self, needed: bool, one: Capabilities) {
        if needed {
            self.needs = self.needs.union(one);
        }
    }
}

/// Why a body could not be read as a request. The text names what is wrong and where, and never quotes the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRequest {
    /// Not JSON at all, or JSON with an error in it.
    NotJson {
        /// Byte offset of the error in the body.
        offset: usize,
        /// What is wrong there; never text of the body.
        problem: String,
    },
    /// JSON, but no object, or one that is nested too deep.
    WrongShape {
        /// Path to the value: `body`, for the whole.
        at: String,
        /// Byte offset of the value, or of what it is missing from, in the body.
        offset: usize,
        /// What is expected there and what stands there instead; never text of the body.
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

/// Reads `body` as a request of `api`, in one pass that is linear in its length and needs a bounded stack.
///
/// With `complete` false the body is the first part of a longer one: what is cut off counts as absent, and a string that
/// is cut counts up to the cut if it is text of a message (a name or number that is cut would be another one).
///
/// # Errors
/// [`InvalidRequest`] where the body is not JSON, or not an object.
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

/// Reads `body` as [`parse`] does, and what it carries that only its maker can read.
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

/// The body as text; a character that the cut went through is left out.
fn utf8(body: &[u8], complete: bool) -> Result<&str, InvalidRequest> {
    let (offset, problem) = match body {
        // A zero byte is in every UTF-16 document: it starts with an ASCII brace, or with white space.
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..] => {
            (0, "expected UTF-8, found UTF-16 or binary data")
        }
        _ => match std::str::from_utf8(body) {
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
