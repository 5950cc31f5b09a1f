//! What an exchange is charged with where its answer does not say what it took: because the client left, the backend failed,
//! or nobody counts. An estimate of what was sent and delivered, bounded by what the model can write, never by what a client
//! may have asked for.

use crate::api::usage::Usage;
use crate::fleet::{Backend, Model};

/// More answers than this to one request are no request of any API.
const MOST_ANSWERS: u32 = 2048;

/// An exchange whose cost nobody states.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unstated {
    /// Estimated tokens of the request.
    pub(super) input_tokens: u32,
    /// How many answers were asked for.
    pub(super) answers: u32,
    /// What the request was expected to cost, in USD.
    pub(super) expected_usd: f64,
    /// Tokens of the answer that came through; `None` where it was not read, so that only time tells.
    pub(super) delivered: Option<u64>,
    /// Milliseconds from reading the request to its end.
    pub(super) elapsed_ms: u64,
}

impl Unstated {
    /// What it is taken to have cost at `backend`, which serves `model`, in USD.
    pub(super) fn usd(&self, backend: &Backend, model: &Model) -> f64 {
        let answers = u64::from(self.answers.clamp(1, MOST_ANSWERS));
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

    fn usd(change: impl FnOnce(&mut Unstated)) -> f64 {
        let policy = Policy::compile(
            r#"{"models": [{"name": "m", "context_window": 8192, "max_output_tokens": 4096}],
                "backends": [{"name": "b", "model": "m", "price": {"input": 1, "output": 10},
                              "latency": {"first_token_ms": {"p50": 500}, "tokens_per_second": 100}}]}"#,
        )
        .unwrap();
        let mut one = Unstated {
            input_tokens: 1000,
            answers: 1,
            expected_usd: 1e7,
            delivered: None,
            elapsed_ms: 300,
        };
        change(&mut one);
        let usd = one.usd(&policy.registry.backends[0], &policy.registry.models[0]);
        (usd * 1e9).round() / 1e9
    }

    #[test]
    fn a_client_that_leaves_pays_for_what_was_sent_and_delivered() {
        assert_eq!(usd(|_| ()), 0.001);
        assert_eq!(usd(|one| one.answers = 4_000_000_000), 0.001);
        assert_eq!(usd(|one| one.elapsed_ms = 1500), 0.002);
        assert_eq!(usd(|one| one.delivered = Some(20)), 0.0012);
        assert_eq!(usd(|one| one.delivered = Some(0)), 0.001);
        // Bounded by what the model can write, and, where nothing was seen of it, by what was expected.
        let all = 0.041_96;
        assert_eq!(usd(|one| one.elapsed_ms = u64::MAX), all);
        assert_eq!(usd(|one| one.delivered = Some(u64::MAX)), all);
        let most = 83.887_08;
        let giant = |one: &mut Unstated| (one.answers, one.elapsed_ms) = (u32::MAX, u64::MAX);
        assert_eq!(usd(giant), most);
        assert_eq!(
            usd(|one| (one.elapsed_ms, one.expected_usd) = (60_000, 0.003)),
            0.003
        );
    }
}
