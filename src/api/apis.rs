//! The APIs that are routed: [`Api`], which a request speaks, and [`Apis`], the set that a backend speaks.

/// An API. [`path`](super::path) recognises it by the path of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI's Chat Completions: `POST /v1/chat/completions`.
    OpenAiChat,
    /// OpenAI's Responses: `POST /v1/responses`.
    OpenAiResponses,
    /// OpenAI's Completions: `POST /v1/completions`.
    OpenAiCompletions,
    /// OpenAI's Embeddings: `POST /v1/embeddings`.
    OpenAiEmbeddings,
    /// Anthropic's Messages: `POST /v1/messages`.
    AnthropicMessages,
}

impl Api {
    /// All APIs.
    pub const ALL: [Api; 5] = [
        Api::OpenAiChat,
        Api::OpenAiResponses,
        Api::OpenAiCompletions,
        Api::OpenAiEmbeddings,
        Api::AnthropicMessages,
    ];

    /// The API with this name.
    pub fn find(name: &str) -> Option<Api> {
        Api::ALL.into_iter().find(|api| api.name() == name)
    }

    /// The name that policies use.
    pub const fn name(self) -> &'static str {
        match self {
            Api::OpenAiChat => "openai_chat",
            Api::OpenAiResponses => "openai_responses",
            Api::OpenAiCompletions => "openai_completions",
            Api::OpenAiEmbeddings => "openai_embeddings",
            Api::AnthropicMessages => "anthropic_messages",
        }
    }

    /// Whether its streams report their usage only if the request asks by `stream_options.include_usage`.
    pub const fn has_stream_options(self) -> bool {
        matches!(self, Api::OpenAiChat | Api::OpenAiCompletions)
    }

    /// The field that holds the prompt, as error texts name it.
    pub const fn prompt_field(self) -> &'static str {
        match self {
            Api::OpenAiChat | Api::AnthropicMessages => "messages",
            Api::OpenAiResponses | Api::OpenAiEmbeddings => "input",
            Api::OpenAiCompletions => "prompt",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of APIs.
///
/// ```
/// use pointsman::api::{Api, Apis};
///
/// let apis = Apis::only(Api::OpenAiChat).with(Api::AnthropicMessages);
/// assert!(apis.contains(Api::AnthropicMessages));
/// assert!(!apis.contains(Api::OpenAiResponses));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Apis(u8);

impl Apis {
    /// The empty set.
    pub const NONE: Apis = Apis(0);

    /// The set of one API.
    pub const fn only(api: Api) -> Apis {
        Apis(api.bit())
    }

    /// The set with `api` added.
    #[must_use]
    pub const fn with(self, api: Api) -> Apis {
        Apis(self.0 | api.bit())
    }

    /// Whether `api` is in the set.
    pub const fn contains(self, api: Api) -> bool {
        self.0 & api.bit() != 0
    }

    /// Whether all APIs of `other` are in the set.
    pub const fn contains_all(self, other: Apis) -> bool {
        self.0 & other.0 == other.0
    }
}
