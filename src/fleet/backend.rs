//! A backend: one deployment of a model, how it is reached, its price and its declared latency.

use super::ModelId;
use super::ramp::Ramp;
use crate::api::Apis;
use crate::api::usage::Usage;

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

impl Price {
    /// Cost of this usage, in USD.
    pub fn cost_usd(&self, usage: &Usage) -> f64 {
        let fresh = usage
            .input_tokens
            .saturating_sub(usage.cached_input_tokens)
            .saturating_sub(usage.cache_write_tokens);
        let hour = usage.cache_write_1h_tokens.min(usage.cache_write_tokens);
        (fresh as f64 * self.input
            + usage.cached_input_tokens as f64 * self.cached_input
            + (usage.cache_write_tokens - hour) as f64 * self.cache_write
            + hour as f64 * self.cache_write_1h
            + usage.output_tokens as f64 * self.output)
            / 1e6
    }
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
    pub response_ms: Option<f32>,
    /// Between two parts of an answer.
    pub idle_ms: f32,
    /// To the end of an answer; `None` where it may take as long as it likes.
    pub total_ms: Option<f32>,
}

impl Timeouts {
    /// The longest pause within an answer where nothing is stated: thinking takes minutes.
    pub const IDLE_MS: f32 = 300_000.0;
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
        self.response_ms
            .unwrap_or((self.first_token_ms + generation_ms).max(60_000.0))
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
    pub cold: Option<ScaleToZero>,
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
pub struct ScaleToZero {
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
    /// Tokens of the prompt, its frame included, and of the answer of one request; its cost if the policy declares none.
    pub const TOKENS: (f64, f64) = (16.0, 16.0);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_priced_as_such() {
        let price = Price {
            input: 2.0,
            cached_input: 0.5,
            cache_write: 2.5,
            cache_write_1h: 4.0,
            output: 10.0,
        };
        let usage = Usage {
            input_tokens: 1_000_000,
            cached_input_tokens: 600_000,
            cache_write_tokens: 100_000,
            cache_write_1h_tokens: 20_000,
            output_tokens: 100_000,
            reasoning_tokens: 50_000,
        };
        let expected = 0.3 * 2.0 + 0.6 * 0.5 + 0.08 * 2.5 + 0.02 * 4.0 + 0.1 * 10.0;
        assert!((price.cost_usd(&usage) - expected).abs() < 1e-12);
    }
}
