//! The charge for an exchange whose answer states no usage: the client left, the backend failed, or the API does not count.
//!
//! An estimate of what was sent and delivered. Its bound is what the model can write, never what a client may have asked for.

use crate::api::usage::Usage;
use crate::fleet::{Backend, Model};

/// More choices than this are not a request of any API.
const MAX_CHOICES: u32 = 2048;

/// An exchange whose usage is not stated.
#[derive(Debug, Clone, Copy)]
pub(super) struct EstimatedUsage {
    /// Estimated tokens of the request.
    pub(super) input_tokens: u32,
    /// How many choices the client asked for.
    pub(super) answers: u32,
    /// The expected cost of the request, in USD.
    pub(super) expected_usd: f64,
    /// Tokens of the answer that were delivered; `None` if the answer was not parsed, so that only its time is known.
    pub(super) delivered: Option<u64>,
    /// Milliseconds from reading the request to its end.
    pub(super) elapsed_ms: u64,
}

impl EstimatedUsage {
    /// The estimated cost at `backend`, which serves `model`, in USD.
    pub(super) fn usd(&self, backend: &Backend, model: &Model) -> f64 {
        let answers = u64::from(self.answers.clamp(1, MAX_CHOICES));
        let most = u64::from(model.max_output_tokens).saturating_mul(answers);
        let generated = || {
            let first_ms = f64::from(backend.latency.first_token_p50_ms);
            let seconds = (self.elapsed_ms as f64 - first_ms).max(0.0) / 1000.0;
            (seconds * f64::from(backend.latency.tokens_per_second)) as u64
        };
        let output = match self.delivered {
            Some(tokens) => tokens,
            None => generated().saturating_mul(answers),
        };
        let usage = Usage {
            input_tokens: u64::from(self.input_tokens),
            output_tokens: output.min(most),
            ..Usage::default()
        };
        let usd = backend.price.cost_usd(&usage);
        match self.delivered {
            Some(_) => usd,
            None => usd.min(self.expected_usd),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn usd(change: impl FnOnce(&mut EstimatedUsage)) -> f64 {
        let policy = Policy::compile(
            r#"{"models": [{"name": "m", "context_window": 8192, "max_output_tokens": 4096}],
                "backends": [{"name": "b", "model": "m", "price": {"input": 1, "output": 10},
                              "latency": {"first_token_ms": {"p50": 500}, "tokens_per_second": 100}}]}"#,
        )
        .unwrap();
        let mut usage = EstimatedUsage {
            input_tokens: 1000,
            answers: 1,
            expected_usd: 1e7,
            delivered: None,
            elapsed_ms: 300,
        };
        change(&mut usage);
        let usd = usage.usd(&policy.registry.backends[0], &policy.registry.models[0]);
        (usd * 1e9).round() / 1e9
    }

    #[test]
    fn a_client_that_leaves_pays_for_what_was_sent_and_delivered() {
        assert_eq!(usd(|_| ()), 0.001);
        assert_eq!(usd(|usage| usage.answers = 4_000_000_000), 0.001);
        assert_eq!(usd(|usage| usage.elapsed_ms = 1500), 0.002);
        assert_eq!(usd(|usage| usage.delivered = Some(20)), 0.0012);
        assert_eq!(usd(|usage| usage.delivered = Some(0)), 0.001);
        // Bounded by what the model can write, and, where nothing was seen of it, by what was expected.
        let all = 0.041_96;
        assert_eq!(usd(|usage| usage.elapsed_ms = u64::MAX), all);
        assert_eq!(usd(|usage| usage.delivered = Some(u64::MAX)), all);
        let most = 83.887_08;
        let giant =
            |usage: &mut EstimatedUsage| (usage.answers, usage.elapsed_ms) = (u32::MAX, u64::MAX);
        assert_eq!(usd(giant), most);
        assert_eq!(
            usd(|usage| (usage.elapsed_ms, usage.expected_usd) = (60_000, 0.003)),
            0.003
        );
    }
}
