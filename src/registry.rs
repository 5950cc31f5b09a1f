//! The fleet: models, the backends that serve them, accelerators, prices, capabilities. Data and look-ups; no choice is made here.

use crate::ability::Ability;
use crate::ramp::Ramp;

/// Index of a [`Model`] in its [`Registry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub u32);

/// Index of a [`Backend`] in its [`Registry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u32);

/// A set of things that a model can do, or that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Nothing in particular.
    pub const NONE: Capabilities = Capabilities(0);
    /// Calls tools.
    pub const TOOLS: Capabilities = Capabilities(1);
    /// Reads images.
    pub const VISION: Capabilities = Capabilities(1 << 1);
    /// Hears audio.
    pub const AUDIO: Capabilities = Capabilities(1 << 2);
    /// Keeps to `response_format: json_object`.
    pub const JSON_MODE: Capabilities = Capabilities(1 << 3);
    /// Keeps to `response_format: json_schema`.
    pub const JSON_SCHEMA: Capabilities = Capabilities(1 << 4);
    /// Reasons before it answers, with a settable effort.
    pub const REASONING: Capabilities = Capabilities(1 << 5);
    /// Reads files such as PDF.
    pub const FILES: Capabilities = Capabilities(1 << 6);

    /// Every capability with the name that policies use for it.
    pub const NAMES: [(&'static str, Capabilities); 7] = [
        ("tools", Capabilities::TOOLS),
        ("vision", Capabilities::VISION),
        ("audio", Capabilities::AUDIO),
        ("json_mode", Capabilities::JSON_MODE),
        ("json_schema", Capabilities::JSON_SCHEMA),
        ("reasoning", Capabilities::REASONING),
        ("files", Capabilities::FILES),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    /// What is in `self` but not in `other`.
    #[must_use]
    pub const fn without(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The capability with this name.
    pub fn find(name: &str) -> Option<Capabilities> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, one)| *one)
    }

    /// The names of the set's members, in the order of [`Capabilities::NAMES`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(_, one)| self.contains(*one))
            .map(|(name, _)| *name)
    }
}

/// A set of APIs that a backend speaks, or the one that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Apis(u8);

impl Apis {
    /// None.
    pub const NONE: Apis = Apis(0);
    /// OpenAI's Chat Completions.
    pub const OPENAI_CHAT: Apis = Apis(1);
    /// OpenAI's Responses.
    pub const OPENAI_RESPONSES: Apis = Apis(1 << 1);
    /// OpenAI's Completions.
    pub const OPENAI_COMPLETIONS: Apis = Apis(1 << 2);
    /// OpenAI's Embeddings.
    pub const OPENAI_EMBEDDINGS: Apis = Apis(1 << 3);
    /// Anthropic's Messages.
    pub const ANTHROPIC_MESSAGES: Apis = Apis(1 << 4);

    /// Every API with the name that policies use for it.
    pub const NAMES: [(&'static str, Apis); 5] = [
        ("openai_chat", Apis::OPENAI_CHAT),
        ("openai_responses", Apis::OPENAI_RESPONSES),
        ("openai_completions", Apis::OPENAI_COMPLETIONS),
        ("openai_embeddings", Apis::OPENAI_EMBEDDINGS),
        ("anthropic_messages", Apis::ANTHROPIC_MESSAGES),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Apis) -> Apis {
        Apis(self.0 | other.0)
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Apis) -> bool {
        self.0 & other.0 == other.0
    }

    /// The API with this name.
    pub fn find(name: &str) -> Option<Apis> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, one)| *one)
    }

    /// The name of the one API in the set; of several the first.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, one)| self.contains(*one))
            .map_or("none", |(name, _)| *name)
    }
}

/// The kind of hardware that a backend runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// Graphics processors.
    Gpu,
    /// Plain processors.
    Cpu,
    /// Language processing units (deterministic inference chips).
    Lpu,
    /// Somebody else's hardware, paid per token or per second, possibly scaled to zero.
    Serverless,
}

impl Accelerator {
    /// All of them.
    pub const ALL: [Accelerator; 4] = [
        Accelerator::Gpu,
        Accelerator::Cpu,
        Accelerator::Lpu,
        Accelerator::Serverless,
    ];

    /// The accelerator with this name.
    pub fn find(name: &str) -> Option<Accelerator> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The name that policies, metrics and headers use.
    pub const fn name(self) -> &'static str {
        match self {
            Accelerator::Gpu => "gpu",
            Accelerator::Cpu => "cpu",
            Accelerator::Lpu => "lpu",
            Accelerator::Serverless => "serverless",
        }
    }
}

/// What tokens cost at a backend, in USD per 1,000,000 tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Input tokens.
    pub input: f64,
    /// Input tokens that the backend had cached; equal to `input` where it has no cache price.
    pub cached_input: f64,
    /// Input tokens that the backend put into its cache; equal to `input` where it has no price for that.
    pub cache_write: f64,
    /// Those of them that it keeps for an hour; equal to `cache_write` where that has no price of its own.
    pub cache_write_1h: f64,
    /// Output tokens.
    pub output: f64,
}

/// How fast a backend answers, as stated by the operator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Median time to the first token, in milliseconds.
    pub first_token_p50_ms: f32,
    /// 99th percentile of the time to the first token, in milliseconds.
    pub first_token_p99_ms: f32,
    /// Output tokens per second after the first.
    pub tokens_per_second: f32,
}

/// How long a backend may keep silent before it is given up, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeouts {
    /// To the first byte of a streamed answer.
    pub first_token_ms: f32,
    /// To an answer in one piece; `None` where that depends on how long it may be.
    pub answer_ms: Option<f32>,
    /// Between two parts of an answer.
    pub pause_ms: f32,
    /// To the end of an answer; `None` where it may take as long as it likes.
    pub total_ms: Option<f32>,
}

impl Timeouts {
    /// The longest pause within an answer where nothing is stated: thinking takes minutes.
    pub const PAUSE_MS: f32 = 300_000.0;
    /// The length of an answer where the request does not bound it.
    pub const LONG_ANSWER_TOKENS: u32 = 4096;

    /// The limit on the first byte of a stream where none is stated: four times what is rare already, so that a slow answer is
    /// not taken for none.
    pub fn usual_first_token_ms(latency: &Latency) -> f32 {
        (latency.first_token_p99_ms * 4.0).max(10_000.0)
    }

    /// The limit on an answer in one piece, of up to so many tokens.
    pub fn whole_ms(&self, latency: &Latency, tokens: u32) -> f32 {
        let generation_ms = 1500.0 * tokens as f32 / latency.tokens_per_second;
        self.answer_ms
            .unwrap_or((self.first_token_ms + generation_ms).max(60_000.0))
    }
}

/// A logical LLM.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name in the policy, and what a client asks for to pin it.
    pub name: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The most tokens of input and output together.
    pub context_window: u32,
    /// The most tokens that it writes in one answer.
    pub max_output_tokens: u32,
    /// Its skill, from its benchmark scores.
    pub ability: Ability,
}

/// How long an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerBound {
    /// The most tokens of the answer.
    pub most_tokens: u32,
    /// Tokens of the input that have to fit into the context window with it, estimated.
    pub window_tokens: u32,
}

impl AnswerBound {
    /// The most tokens that `model` can write, where that is less.
    pub fn less_of(self, model: &Model) -> Option<u32> {
        let room = model.context_window.saturating_sub(self.window_tokens);
        let most = model.max_output_tokens.min(room).max(1);
        (most < self.most_tokens).then_some(most)
    }
}

/// One deployment of a model: an Envoy cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Its name in the policy, in metrics and in headers.
    pub name: String,
    /// The Envoy cluster that requests for it go to.
    pub cluster: String,
    /// The model that it serves.
    pub model: ModelId,
    /// The name under which this deployment knows the model: what is written into the body.
    pub served_model: String,
    /// What it runs on.
    pub accelerator: Accelerator,
    /// What it costs.
    pub price: Price,
    /// How fast it is.
    pub latency: Latency,
    /// How long it may keep silent.
    pub timeouts: Timeouts,
    /// The APIs that it speaks.
    pub apis: Apis,
    /// The operator's tags, such as `on-prem` or `eu`, sorted.
    pub tags: Vec<String>,
    /// Who runs it, in OpenTelemetry's words.
    pub provider: String,
    /// Where it is, if the policy says so.
    pub endpoint: Option<Endpoint>,
    /// A path that answers 200 while it is well.
    pub health: Option<String>,
    /// What proves to it who is asking; `None` where the client's own headers do, or nothing.
    pub credentials: Option<Credentials>,
    /// Which of the client's own headers it sees.
    pub client: ClientHeaders,
    /// How it scales to zero; `None` where it never does.
    pub cold: Option<Cold>,
    /// Which share of the conversations may go to it; `None` where all may.
    pub ramp: Option<Ramp>,
    /// Who else can read what it wrote for itself.
    pub state_scope: StateScope,
}

/// The backends that can read what one of them wrote for itself: signed thinking, encrypted reasoning, stored responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateScope {
    /// The scope's name.
    pub name: String,
    /// A hash of the name, which stands for it where makers of state are remembered.
    pub key: u32,
    /// Whether the policy says so itself.
    pub is_stated: bool,
}

impl StateScope {
    /// The scope of this name.
    pub fn new(name: String) -> StateScope {
        // FNV-1a, 32 bits.
        let key = name.bytes().fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        StateScope {
            name,
            key,
            is_stated: false,
        }
    }
}

impl Backend {
    /// Whether it refuses calls of tools without the signature of its own model, and takes a stand-in for those of others:
    /// Gemini, behind OpenAI's API.
    pub fn insists_on_signatures(&self) -> bool {
        let endpoint = self.endpoint.as_ref();
        endpoint.is_some_and(|one| one.host.ends_with("googleapis.com"))
    }
}

/// How a backend scales to zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Cold {
    /// After how many seconds without a request it is cold.
    pub after_s: f32,
    /// How much later its first token then comes, in milliseconds.
    pub start_ms: f32,
    /// Whether it is kept warm, and at what cost.
    pub prewarm: Option<Prewarm>,
}

/// How a backend is kept warm.
#[derive(Debug, Clone, PartialEq)]
pub struct Prewarm {
    /// The most that it may cost in any hour, in USD.
    pub max_usd_per_hour: f64,
    /// What one request costs, in USD.
    pub request_usd: f64,
    /// How probable it must be that the backend is needed before it would be cold again, 0 to 1.
    pub probability: f64,
}

impl Prewarm {
    /// The most requests in any hour, a whole number; `None` where they cost nothing.
    pub fn most_per_hour(&self) -> Option<f64> {
        // A hair more, so that 0.3 is three times 0.1.
        (self.request_usd > 0.0)
            .then(|| (self.max_usd_per_hour / self.request_usd * (1.0 + 1e-9)).floor())
    }
}

/// Where a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its host name or IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What goes before the path of each request: empty, or `/` and what follows it, without a `/` at the end.
    pub path: String,
}

/// A header that carries a secret. The secret itself is nowhere in the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the header, lower case.
    pub header: String,
    /// What stands in it before the secret.
    pub prefix: String,
    /// The environment variable that holds the secret.
    pub env: String,
    /// How paths begin, besides those of the APIs that are routed, for whose requests it is put in too.
    pub other_paths: Vec<String>,
}

impl Credentials {
    /// Whether a request of no API that is routed gets them, by its path and query.
    pub fn open_path(&self, path: &str) -> bool {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let lower = path.to_ascii_lowercase();
        // Whatever the server behind makes of it, it must not lead out of what is opened.
        let is_plain = !["//", "/.", "%2e", "%2f", "%5c", "\\", ";"]
            .iter()
            .any(|part| lower.contains(part));
        let below = |open: &String| {
            path.strip_prefix(open.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || open.ends_with('/'))
        };
        is_plain && self.other_paths.iter().any(below)
    }
}

/// Which of the client's own headers a backend sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientHeaders {
    /// The client's credentials.
    pub credentials: bool,
    /// Who and where the client is, and what Envoy is.
    pub address: bool,
    /// Whether the policy itself says what of `credentials`.
    pub credentials_stated: bool,
    /// Whether the policy itself says what of `address`.
    pub address_stated: bool,
}

/// All models and backends of a policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registry {
    /// The models, in the order of the policy.
    pub models: Vec<Model>,
    /// The backends, in the order of the policy.
    pub backends: Vec<Backend>,
}

impl Registry {
    /// The model with this index.
    pub fn model(&self, id: ModelId) -> Option<&Model> {
        self.models.get(id.0 as usize)
    }

    /// The backend with this index.
    pub fn backend(&self, id: BackendId) -> Option<&Backend> {
        self.backends.get(id.0 as usize)
    }

    /// The key of a backend's state scope.
    pub fn scope_of(&self, id: BackendId) -> Option<u32> {
        self.backend(id).map(|backend| backend.state_scope.key)
    }

    /// Whether backends that speak `api` are of several state scopes: only then it matters who made what a request carries.
    pub fn has_scopes(&self, api: Apis) -> bool {
        let asked = |one: &&Backend| one.apis.contains(api);
        let mut keys = self.backends.iter().filter(asked);
        let first = keys.next().map(|one| one.state_scope.key);
        keys.any(|one| Some(one.state_scope.key) != first)
    }

    /// The index of the model with this name.
    pub fn find_model(&self, name: &str) -> Option<ModelId> {
        self.models
            .iter()
            .position(|model| model.name == name)
            .map(|index| ModelId(index as u32))
    }
}
