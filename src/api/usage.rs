//! Tokens and cost out of responses as they stream by, JSON and server-sent events, and the one event that a client did not
//! ask for taken out of its stream.
//!
//! Pure and bounded: bytes go in as they come, cut anywhere, and nothing of them is kept but a few numbers and, while an
//! event is hidden, the unfinished event. What a response says is believed as far as it makes sense; see [`counts`] for what
//! holds where its numbers disagree.
//!
//! | who | where usage stands | read from a cache | put into one | reasoning |
//! |---|---|---|---|---|
//! | OpenAI, Azure, vLLM, SGLang, Groq, Fireworks, Together, GLM | `usage`; in streams in a last event with empty `choices`, in the last one or in each; also `x_groq.usage` | `prompt_tokens_details.cached_tokens` or `cached_tokens`: inside | `cache_write_tokens`: inside | inside |
//! | OpenAI's Responses | `usage`; in streams `response.usage` of the closing event | `input_tokens_details`: inside | as above | inside |
//! | Anthropic (also on Vertex) | `usage`; in streams `message.usage`, then `usage` of `message_delta`, which counts in all; `iterations` also list what compaction took | `cache_read_input_tokens`: beside | `cache_creation_input_tokens`, by age in `cache_creation`: beside | inside |
//! | Bedrock | `usage` in camel case, or `amazon-bedrock-invocationMetrics` | `cacheReadInputTokens`: beside | `cacheWriteInputTokens`: beside | inside |
//! | Gemini's and Vertex's OpenAI API | `usage` | `cached_tokens`: inside | | beside, and maybe in the total alone |
//! | Gemini's own API | `usageMetadata` | `cachedContentTokenCount`: inside | | `thoughtsTokenCount`: beside |
//! | Mistral | `usage` | `num_cached_tokens` or `prompt_token_details`: inside | | inside |
//! | DeepSeek | `usage` | `prompt_cache_hit_tokens`: inside | | inside |
//! | Moonshot | `usage`, in streams `choices[].usage` | `cached_tokens`: inside | | inside |
//! | xAI | `usage` | inside | | beside |
//! | OpenRouter, Qwen | `usage` | inside | `prompt_tokens_details.cache_write_tokens`, `.cache_creation_input_tokens`: inside | inside |
//! | LiteLLM, Databricks, Snowflake and other gateways | `usage` | `cache_read_input_tokens`: as the total says, else inside | `cache_creation_input_tokens`: the same | as the total says |
//! | llama.cpp | `usage`, or `timings` where the stream has none | `cached_tokens`: inside; `cache_n`: beside | | inside |
//! | embeddings | `usage`; Voyage and Jina state the total alone | | | |

mod counts;
mod event_filter;
mod events;
mod keys;
mod parsed;
mod scan;
mod state_collector;
mod status;

pub use event_filter::UsageEventFilter;
pub use status::{AnswerError, FinishReasons};

use crate::api::Api;
use counts::CountingRules;
use events::Events;
use parsed::ParsedAnswer;
use scan::Scan;
use status::AnswerStatus;

/// What an exchange took, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// All tokens of the request, the cached ones and those put into a cache included.
    pub input_tokens: u64,
    /// Those of them that the backend had cached.
    pub cached_input_tokens: u64,
    /// Those of them that the backend put into its cache, where it says so.
    pub cache_write_tokens: u64,
    /// Those of them that it keeps for an hour, where that is told apart.
    pub cache_write_1h_tokens: u64,
    /// All tokens of the answer, those of reasoning included.
    pub output_tokens: u64,
    /// Those of them that were reasoning, where the backend says so.
    pub reasoning_tokens: u64,
}

/// Why the usage of an answered request is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingUsage {
    /// The response is compressed: it is not read.
    Compressed,
    /// It is neither JSON nor a stream of events.
    MediaType,
    /// It came to its end and does not say.
    NotReported,
    /// It broke off before it could say.
    Truncated,
}

impl MissingUsage {
    /// The name that metrics use.
    pub const fn name(self) -> &'static str {
        match self {
            MissingUsage::Compressed => "compressed",
            MissingUsage::MediaType => "media_type",
            MissingUsage::NotReported => "not_reported",
            MissingUsage::Truncated => "truncated",
        }
    }
}

/// What a response body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One JSON document.
    Json,
    /// Server-sent events with a JSON document each.
    EventStream,
}

impl Media {
    /// What the response's headers say it is.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn of(content_type: &[u8], content_encoding: Option<&[u8]>) -> Result<Media, MissingUsage> {
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

/// Reads the usage of one response out of its bytes.
#[derive(Debug)]
pub struct UsageParser {
    api: Api,
    media: Media,
    scan: Scan,
    events: Events,
    parsed: ParsedAnswer,
}

/// An event of a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventEnd {
    /// The byte of the chunk behind its last one.
    pub(crate) at: usize,
    /// Whether it says nothing but the usage.
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

    /// The same for a provider whose reasoning may be in nothing but the total of its counts.
    #[must_use]
    pub fn with_hidden_reasoning(mut self, hides: bool) -> UsageParser {
        self.parsed.rules.hidden_reasoning |= hides;
        self
    }

    /// The same for a request that wants so many answers: the end of the first is not the end.
    #[must_use]
    pub fn with_choices(mut self, choices: u32) -> UsageParser {
        self.parsed.status = AnswerStatus::of_choices(choices);
        self
    }

    /// The same, looking for state that its maker wants back; see [`UsageParser::take_marks`].
    #[must_use]
    pub fn with_state(mut self) -> UsageParser {
        self.parsed.collector.watch(self.api);
        self
    }

    /// The marks of state that came since the last call; see [`crate::api::provider_state`].
    pub fn take_marks(&mut self) -> Vec<u64> {
        self.parsed.collector.take()
    }

    /// Whether there was anything yet: text, reasoning that is shown, or a tool call.
    pub const fn has_content(&self) -> bool {
        self.parsed.status.has_content
    }

    /// About how many tokens a stream has brought, where it does not say: by its events and its text.
    pub fn streamed_tokens(&self) -> Option<u64> {
        let tokens = self.parsed.status.streamed_tokens();
        (self.media == Media::EventStream && tokens > 0).then_some(tokens)
    }

    /// What is wrong with the answer though its status says that nothing is; `ended` is false where it broke off.
    pub fn error(&self, ended: bool) -> Option<AnswerError> {
        let speaks = self.api != Api::OpenAiEmbeddings;
        self.parsed
            .status
            .failure(self.parsed.counts.output, ended && speaks)
    }

    /// Takes the next bytes of the response, however they are cut.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.feed_events(chunk, &mut |_| ());
    }

    /// The same, and tells of each event that ends in this chunk.
    pub(crate) fn feed_events(&mut self, chunk: &[u8], ended: &mut dyn FnMut(EventEnd)) {
        match self.media {
            Media::Json => self.scan.feed(chunk, &mut self.parsed),
            Media::EventStream => {
                self.events
                    .feed(chunk, &mut self.scan, &mut self.parsed, ended);
            }
        }
    }

    /// Whether the event that has begun may turn out to say nothing but the usage.
    pub(crate) fn may_be_usage(&self) -> bool {
        !self.parsed.has_choices && !self.parsed.says_more && !self.events.is_comment()
    }

    /// Why the answer ended, as far as it was said.
    pub fn finish_reasons(&self) -> FinishReasons {
        self.parsed.finish
    }

    /// Whether the answer that has begun is not over, and the next event would be its next one: where the stream ends here, it
    /// ends too early, and a client that only counts bytes takes it for whole.
    pub fn is_underway(&self) -> bool {
        let between = self.media == Media::EventStream && self.events.is_between();
        between && self.parsed.has_begun && !self.parsed.is_over
    }

    /// What the response took; `ended` is false where it broke off.
    ///
    /// # Errors
    /// Why that is not known.
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
            // There is no output, whatever the total counts.
            let input = parsed.input.or(parsed.total).ok_or(unknown)?;
            return Ok(Usage {
                input_tokens: input,
                cached_input_tokens: parsed.cached.or(parsed.cache_read).unwrap_or(0).min(input),
                ..Usage::default()
            });
        }
        let streams = self.media == Media::EventStream;
        // The first event states one token of output or so; only a later one counts the answer.
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
