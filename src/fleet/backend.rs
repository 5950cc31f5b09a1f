//! A backend: one deployment of a model with its endpoint, credentials, prices, declared latency and timeouts.

use super::model::ModelId;
use super::ramp::Ramp;
use crate::api::Apis;
use crate::api::usage::Usage;
use crate::fnv;

/// Index of a [`Backend`] in its [`Registry`](super::Registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u32);

/// The kind of hardware that a backend runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// Graphics processing units.
    Gpu,
    /// General-purpose processors.
    Cpu,
    /// Language processing units (deterministic inference chips).
    Lpu,
    /// A provider's hardware, paid per token or per second, possibly scaled to zero.
    Serverless,
}

impl Accelerator {
    /// All accelerators.
    pub const ALL: [Accelerator; 4] = [
        Accelerator::Gpu,
        Accelerator::Cpu,
        Accelerator::Lpu,
        Accelerator::Serverless,
    ];

    /// The accelerator with this name.
    pub fn find(name: &str) -> Option<Accelerator> {
        Self::ALL
            .into_iter()
            .find(|accelerator| accelerator.name() == name)
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

/// Prices of a backend's tokens, in USD per 1,000,000 tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Input tokens.
    pub input: f64,
    /// Input tokens read from the backend's cache; equal to `input` if they have no price of their own.
    pub cached_input: f64,
    /// Input tokens written to the backend's cache; equal to `input` if they have no price of their own.
    pub cache_write: f64,
    /// Input tokens written to the cache for an hour; equal to `cache_write` if they have no price of their own.
    pub cache_write_1h: f64,
    /// Output tokens.
    pub output: f64,
}

impl Price {
    /// Cost of this usage, in USD.
    ///
    /// ```
    /// use pointsman::{api::usage::Usage, fleet::Price};
    ///
    /// let price = Price { input: 2.0, cached_input: 0.5, cache_write: 2.5, cache_write_1h: 4.0, output: 10.0 };
    /// let usage = Usage { input_tokens: 1000, cached_input_tokens: 400, output_tokens: 100, ..Usage::default() };
    /// // 600 fresh input tokens, 400 cached ones, 100 output tokens.
    /// assert!((price.cost_usd(&usage) - (0.0012 + 0.0002 + 0.001)).abs() < 1e-12);
    /// ```
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

/// Latency of a backend as the operator declares it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Median time to the first token, in milliseconds.
    pub first_token_p50_ms: f32,
    /// 99th percentile of the time to the first token, in milliseconds.
    pub first_token_p99_ms: f32,
    /// Output tokens per second after the first.
    pub tokens_per_second: f32,
}

/// Timeouts of a backend, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeouts {
    /// To the first byte of a streamed answer.
    pub first_token_ms: f32,
    /// To an answer in one piece; `None` if it depends on the answer's length.
    pub response_ms: Option<f32>,
    /// Between two parts of an answer.
    pub idle_ms: f32,
    /// To the end of an answer; `None` for no limit.
    pub total_ms: Option<f32>,
}

impl Timeouts {
    /// Default of the pause within an answer: reasoning takes minutes.
    pub const IDLE_MS: f32 = 300_000.0;
    /// Assumed length of an answer that the request does not bound.
    pub const LONG_ANSWER_TOKENS: u32 = 4096;

    /// Default timeout of a stream's first byte: four times the 99th percentile, at least 10 s, so that a slow answer is not taken
    /// for none.
    pub fn usual_first_token_ms(latency: &Latency) -> f32 {
        (latency.first_token_p99_ms * 4.0).max(10_000.0)
    }

    /// Timeout of an answer in one piece of up to `tokens` tokens.
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
    /// Its Envoy cluster.
    pub cluster: String,
    /// The model that it serves.
    pub model: ModelId,
    /// The deployment's own name for the model, which is written into the body.
    pub served_model: String,
    /// The accelerator that it runs on.
    pub accelerator: Accelerator,
    /// Its prices.
    pub price: Price,
    /// Its declared latency.
    pub latency: Latency,
    /// Its timeouts.
    pub timeouts: Timeouts,
    /// The APIs that it speaks.
    pub apis: Apis,
    /// The operator's tags, such as `on-prem` or `eu`, sorted.
    pub tags: Vec<String>,
    /// The provider that runs it, by OpenTelemetry's names.
    pub provider: String,
    /// Its endpoint, if the policy states one.
    pub endpoint: Option<Endpoint>,
    /// Path of its health check, which answers 200 while it is healthy.
    pub health: Option<String>,
    /// Credentials for it; `None` if it needs none or gets the client's own.
    pub credentials: Option<Credentials>,
    /// The client's headers that it may see.
    pub client: ClientHeaders,
    /// How it scales to zero; `None` if it never does.
    pub cold: Option<ScaleToZero>,
    /// Share of the conversations that may go to it; `None` for all.
    pub ramp: Option<Ramp>,
    /// The backends that can read the provider state in its answers.
    pub state_scope: StateScope,
}

/// A set of backends that can read each other's provider state: signed thinking, encrypted reasoning, stored responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateScope {
    /// The scope's name.
    pub name: String,
    /// Hash of the name, kept in its place for the state of each conversation.
    pub key: u32,
    /// Whether the policy states the scope itself.
    pub is_stated: bool,
}

impl StateScope {
    /// The scope of this name.
    pub fn new(name: String) -> StateScope {
        StateScope {
            key: fnv::hash32(name.as_bytes()),
            name,
            is_stated: false,
        }
    }
}

impl Backend {
    /// Whether it rejects tool calls without a signature and accepts a placeholder for the signature of another model: Gemini
    /// behind OpenAI's API.
    pub fn insists_on_signatures(&self) -> bool {
        let endpoint = self.endpoint.as_ref();
        endpoint.is_some_and(|endpoint| endpoint.host.ends_with("googleapis.com"))
    }
}

/// How a backend scales to zero.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleToZero {
    /// Seconds without a request after which it is cold.
    pub after_s: f32,
    /// Additional time to its first token when it is cold, in milliseconds.
    pub start_ms: f32,
    /// How it is kept warm, if it is.
    pub prewarm: Option<Prewarm>,
}

/// How a backend is kept warm.
#[derive(Debug, Clone, PartialEq)]
pub struct Prewarm {
    /// Maximum cost in any hour, in USD.
    pub max_usd_per_hour: f64,
    /// Cost of one prewarm request, in USD.
    pub request_usd: f64,
    /// Minimum probability, 0 to 1, that the backend is needed before it would be cold again.
    pub probability: f64,
}

impl Prewarm {
    /// Assumed input and output tokens of one prewarm request, for its cost if the policy declares none.
    pub const TOKENS: (f64, f64) = (16.0, 16.0);

    /// Maximum number of requests in any hour, a whole number; `None` if they cost nothing.
    pub fn most_per_hour(&self) -> Option<f64> {
        // Rounding must not lose one: 0.3 / 0.1 is just below 3.
        (self.request_usd > 0.0)
            .then(|| (self.max_usd_per_hour / self.request_usd * (1.0 + 1e-9)).floor())
    }
}

/// Address of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its host name or IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Prefix of each request's path: empty, or beginning with `/` and not ending with one.
    pub path: String,
}

/// A header that carries a secret. The core never holds the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the header, lower case.
    pub header: String,
    /// Text before the secret.
    pub prefix: String,
    /// Environment variable that holds the secret.
    pub env: String,
    /// Prefixes of further paths, besides those of the routed APIs, whose requests get the header.
    pub other_paths: Vec<String>,
}

impl Credentials {
    /// Whether a request outside the routed APIs gets them, by its path and query.
    pub fn open_path(&self, path: &str) -> bool {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let lower = path.to_ascii_lowercase();
        // However the server reads the path, it must not lead out of the prefix.
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

/// The client's headers that a backend may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientHeaders {
    /// The client's credentials.
    pub credentials: bool,
    /// The client's address, and what identifies Envoy.
    pub address: bool,
    /// Whether the policy states `credentials`.
    pub credentials_stated: bool,
    /// Whether the policy states `address`.
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
