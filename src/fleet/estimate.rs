//! Expected quality, cost and latency of one request at one backend.

/// What a candidate is expected to do for this request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Probability of a correct answer, 0 to 1; `None` where the classifier was not asked.
    pub quality: Option<f32>,
    /// Price of the whole exchange, in USD.
    pub cost_usd: f64,
    /// Median time to the whole answer, in milliseconds.
    pub latency_p50_ms: f32,
    /// 99th percentile of the time to the whole answer, in milliseconds.
    pub latency_p99_ms: f32,
    /// Median time to the first token, in milliseconds.
    pub first_token_p50_ms: f32,
    /// 99th percentile of the time to the first token, in milliseconds.
    pub first_token_p99_ms: f32,
}
