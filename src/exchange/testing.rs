//! A policy for tests of this crate.

/// Two models on three backends; `tiny` has a window of 400 tokens.
pub(crate) const POLICY: &str = r#"{
  "version": "7",
  "default_cluster": "fallback",
  "max_body_bytes": 4096,
  "route_endpoint": "on",
  "models": [
    {"name": "tiny", "context_window": 400, "max_output_tokens": 400, "benchmarks": {"mmlu": 0.3}},
    {"name": "huge", "context_window": 100000, "max_output_tokens": 1000, "benchmarks": {"mmlu": 0.9}}
  ],
  "backends": [
    {"name": "cpu-1", "cluster": "cluster-cpu", "model": "tiny", "served_model": "tiny-q4", "accelerator": "cpu",
     "price": {"input": 0.01, "output": 0.02}, "tags": ["local"]},
    {"name": "gpu-1", "cluster": "cluster-gpu", "model": "huge", "served_model": "org/huge", "accelerator": "gpu",
     "price": {"input": 1.0, "output": 2.0}},
    {"name": "lpu-1", "cluster": "cluster-lpu", "model": "huge", "served_model": "huge", "accelerator": "lpu",
     "price": {"input": 1.5, "output": 3.0}}
  ]
}"#;

/// [`POLICY`] with members added before its own.
pub(crate) fn policy_with(members: &str) -> String {
    POLICY.replacen('{', &["{", members, ","].concat(), 1)
}
