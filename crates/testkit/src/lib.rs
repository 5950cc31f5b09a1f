//! Drives a real Envoy, mock backends and the corpus. Development only.
