//! Reads token usage, finish reasons and errors from answers as they stream by, JSON and server-sent events alike, and removes
//! the one event from a stream that its client did not ask for.
//!
//! Pure and bounded: bytes come in pieces, cut anywhere. Only a few numbers are kept, the unfinished event while it may have to be
//! removed, and the start of the text if it is asked for. [`counts`] says which of an answer's numbers hold if they disagree.
//!
//! | provider | place of usage | read from a cache | written to a cache | reasoning |
//! |---|---|---|---|---|
//! | OpenAI, Azure, vLLM, SGLang, Groq, Fireworks, Together, GLM | `usage`; in streams in a last event with empty `choices`, in the last one or in each; also `x_groq.usage` | `prompt_tokens_details.cached_tokens` or `cached_tokens`: included | `cache_write_tokens`: included | included |
//! | OpenAI's Responses | `usage`; in streams `response.usage` of the closing event | `input_tokens_details`: included | as above | included |
//! | Anthropic (also on Vertex) | `usage`; in streams `message.usage`, then `usage` of `message_delta`, which is cumulative; `iterations` also list the tokens of compaction | `cache_read_input_tokens`: excluded | `cache_creation_input_tokens`, by age in `cache_creation`: excluded | included |
//! | Bedrock | `usage` in camel case, or `amazon-bedrock-invocationMetrics` | `cacheReadInputTokens`: excluded | `cacheWriteInputTokens`: excluded | included |
//! | Gemini's and Vertex's OpenAI API | `usage` | `cached_tokens`: included | | excluded, and maybe in the total only |
//! | Gemini's own API | `usageMetadata` | `cachedContentTokenCount`: included | | `thoughtsTokenCount`: excluded |
//! | Mistral | `usage` | `num_cached_tokens` or `prompt_token_details`: included | | included |
//! | DeepSeek | `usage` | `prompt_cache_hit_tokens`: included | | included |
//! | Moonshot | `usage`, in streams `choices[].usage` | `cached_tokens`: included | | included |
//! | xAI | `usage` | included | | excluded |
//! | OpenRouter, Qwen | `usage` | included | `prompt_tokens_details.cache_write_tokens`, `.cache_creation_input_tokens`: included | included |
//! | LiteLLM, Databricks, Snowflake and other gateways | `usage` | `cache_read_input_tokens`: as the total says, else included | `cache_creation_input_tokens`: the same | as the total says |
//! | llama.cpp | `usage`, or `timings` if the stream has none | `cached_tokens`: inside; `cache_n`: excluded | | included |
//! | embeddings | `usage`; Voyage and Jina state the total alone | | | |

mod content_check;
mod counts;
mod event_filter;
mod events;
mod json_check;
mod keys;
mod parsed;
mod repeats;
mod scan;
mod state_collector;
mod status;
mod text_start;

pub use content_check::Expectation;
pub use event_filter::UsageEventFilter;
pub use json_check::MAX_REQUIRED;
pub use status::{AnswerError, FinishReasons};

use crate::api::Api;
use crate::api::held_text::HeldText;
use counts::CountingRules;
use events::Events;
use parsed::ParsedAnswer;
use scan::Scan;
use status::AnswerStatus;

/// Token usage of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// All input tokens, those read from and written to a cache included.
    pub input_tokens: u64,
    /// Input tokens that the backend read from its cache.
    pub cached_input_tokens: u64,
    /// Input tokens that the backend wrote to its cache, if it reports them.
    pub cache_write_tokens: u64,
    /// Input tokens that it wrote to its cache for an hour, if it reports them separately.
    pub cache_write_1h_tokens: u64,
    /// All output tokens, those of reasoning included.
    pub output_tokens: u64,
    /// Output tokens that were reasoning, if the backend reports them.
    pub reasoning_tokens: u64,
}

/// Reason why the usage of an answered request is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingUsage {
    /// The response is compressed, so it is not read.
    Compressed,
    /// The response is neither JSON nor a stream of events.
    MediaType,
    /// The response is complete and does not report its usage.
    NotReported,
    /// The response broke off before it reported its usage.
    Truncated,
}

impl MissingUsage {
    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            MissingUsage::Compressed => "compressed",
            MissingUsage::MediaType => "media_type",
            MissingUsage::NotReported => "not_reported",
            MissingUsage::Truncated => "truncated",
        }
    }
}

/// Media type of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One JSON document.
    Json,
    /// Server-sent events with a JSON document each.
    EventStream,
}

impl Media {
    /// The media type by the response's headers.
    ///
    /// # Errors
    /// The reason why the body cannot be read.
    pub fn from_headers(
        content_type: &[u8],
        content_encoding: Option<&[u8]>,
    ) -> Result<Media, MissingUsage> {
        let encoding = content_encoding.unwrap_or_default().trim_ascii();
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity") {
            return Err(MissingUsage::Compressed);
        }
        let kind = content_type.split(|byte| *byte == b';').next();
        let kind = kind.unwrap_or_default().trim_ascii();
        if kind.eq_ignore_ascii_case(b"text/event-stream") {
            Ok(Media::EventStream)
        } else if kind.eq_ignore_ascii_case(b"application/json") {
            Ok(Media::Json)
        } else {
            Err(MissingUsage::MediaType)
        }
    }
}

/// Reads the usage of one response from its bytes.
///
/// ```
/// use pointsman::api::Api;
/// use pointsman::api::usage::{Media, UsageParser};
///
/// let mut parser = UsageParser::new(Api::OpenAiChat, Media::Json);
/// parser.feed(br#"{"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "#);
/// parser.feed(br#""completion_tokens": 5}}"#);
/// let usage = parser.finish(true).unwrap();
/// assert_eq!((usage.input_tokens, usage.output_tokens), (7, 5));
/// ```
#[derive(Debug)]
pub struct UsageParser {
    api: Api,
    media: Media,
    scan: Scan,
    events: Events,
    parsed: ParsedAnswer,
}

/// End of an event in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventEnd {
    /// Offset in the chunk after its last byte.
    pub(crate) at: usize,
    /// Whether the event holds the usage and nothing else.
    pub(crate) is_usage: bool,
}

impl UsageParser {
    /// A meter for a response to a request of `api`.
    pub fn new(api: Api, media: Media) -> UsageParser {
        let mut parsed = ParsedAnswer::default();
        parsed.rules.cache_excluded = api == Api::AnthropicMessages;
        UsageParser {
            api,
            media,
            scan: Scan::default(),
            events: Events::default(),
            parsed,
        }
    }

    /// Sets whether reasoning may be counted in the total only, as this provider does.
    #[must_use]
    pub fn with_hidden_reasoning(mut self, hides: bool) -> UsageParser {
        self.parsed.rules.hidden_reasoning |= hides;
        self
    }

    /// Sets the number of requested answers: the end of the first is not the end of all.
    #[must_use]
    pub fn with_choices(mut self, choices: u32) -> UsageParser {
        self.parsed.status = AnswerStatus::with_choices(choices);
        self
    }

    /// Collects provider state as well; see [`UsageParser::take_marks`].
    #[must_use]
    pub fn with_state(mut self) -> UsageParser {
        self.parsed.collector.enable(self.api);
        self
    }

    /// Checks the content as well; see [`UsageParser::is_expected_json`] and [`UsageParser::are_arguments_json`].
    #[must_use]
    pub fn with_checks(mut self, expected: Expectation) -> UsageParser {
        let streams = self.media == Media::EventStream;
        self.parsed.content.enable(self.api, streams, expected);
        self
    }

    /// Keeps the first `most` bytes of the answer's text as well; see [`UsageParser::take_text`].
    #[must_use]
    pub fn with_text(mut self, most: usize) -> UsageParser {
        let streams = self.media == Media::EventStream;
        self.parsed.content.keep_text(self.api, streams, most);
        self
    }

    /// The first bytes of the answer's text; `None` if they were not asked for, or are taken.
    pub fn take_text(&mut self) -> Option<HeldText> {
        self.parsed.content.take_text()
    }

    /// Whether the text is the JSON that was expected; `None` if none was expected or there is no text.
    pub fn is_expected_json(&self) -> Option<bool> {
        self.parsed.content.is_expected_json()
    }

    /// Whether the arguments of every tool call are JSON; `None` if there is no call whose arguments are a text.
    pub fn are_arguments_json(&self) -> Option<bool> {
        self.parsed.content.are_arguments_json()
    }

    /// The marks of provider state since the last call; see [`crate::api::provider_state`].
    pub fn take_marks(&mut self) -> Vec<u64> {
        self.parsed.collector.take()
    }

    /// Whether the answer has any content so far: text, visible reasoning, or a tool call.
    pub const fn has_content(&self) -> bool {
        self.parsed.status.has_content
    }

    /// Estimated number of tokens that a stream has brought so far, by its events and its text.
    pub fn streamed_tokens(&self) -> Option<u64> {
        let tokens = self.parsed.status.streamed_tokens();
        (self.media == Media::EventStream && tokens > 0).then_some(tokens)
    }

    /// The error in an answer whose HTTP status reports none; `ended` is false if the answer broke off.
    pub fn error(&self, ended: bool) -> Option<AnswerError> {
        let speaks = self.api != Api::OpenAiEmbeddings;
        self.parsed
            .status
            .failure(self.parsed.counts.output, ended && speaks)
    }

    /// Reads the next bytes of the response, cut anywhere.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.feed_events(chunk, &mut |_| ());
    }

    /// Reads the next bytes and calls `ended` for each event that ends in them.
    pub(crate) fn feed_events(&mut self, chunk: &[u8], ended: &mut dyn FnMut(EventEnd)) {
        match self.media {
            Media::Json => self.scan.feed(chunk, &mut self.parsed),
            Media::EventStream => {
                self.events
                    .feed(chunk, &mut self.scan, &mut self.parsed, ended);
            }
        }
    }

    /// Whether the unfinished event may hold the usage and nothing else.
    pub(crate) fn may_be_usage(&self) -> bool {
        !self.parsed.has_choices && !self.parsed.says_more && !self.events.is_comment()
    }

    /// The finish reasons reported so far.
    pub fn finish_reasons(&self) -> FinishReasons {
        self.parsed.finish
    }

    /// Whether the answer has begun and not ended, between two events. A stream that ends here is truncated, which a client that
    /// only counts bytes does not notice.
    pub fn is_underway(&self) -> bool {
        let between = self.media == Media::EventStream && self.events.is_between();
        between && self.parsed.has_begun && !self.parsed.is_over
    }

    /// Whether the answer has come to its own end: a whole document, or a stream that said its last word.
    pub fn is_whole(&self) -> bool {
        match self.media {
            Media::Json => self.scan.is_at_end(),
            Media::EventStream => self.parsed.is_over,
        }
    }

    /// The usage of the response; `ended` is false if it broke off.
    ///
    /// # Errors
    /// The reason why the usage is unknown.
    pub fn finish(&self, ended: bool) -> Result<Usage, MissingUsage> {
        let whole = ended && (self.media == Media::EventStream || self.scan.is_at_end());
        let unknown = if whole {
            MissingUsage::NotReported
        } else {
            MissingUsage::Truncated
        };
        let mut parsed = self.parsed.counts;
        parsed.raise(&self.parsed.steps);
        if self.api == Api::OpenAiEmbeddings {
            // Embeddings have no output, whatever the total counts.
            let input = parsed.input.or(parsed.total).ok_or(unknown)?;
            return Ok(Usage {
                input_tokens: input,
                cached_input_tokens: parsed.cached.or(parsed.cache_read).unwrap_or(0).min(input),
                ..Usage::default()
            });
        }
        let streams = self.media == Media::EventStream;
        // The first event reports about one output token; only a later one counts the answer.
        if self.api == Api::AnthropicMessages && streams && !self.parsed.at_top {
            return Err(unknown);
        }
        let timed = CountingRules {
            cache_excluded: true,
            ..CountingRules::default()
        };
        let usage = parsed.read(self.parsed.rules);
        usage
            .or_else(|| self.parsed.timings.read(timed))
            .ok_or(unknown)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
