//! The control plane of one filter instance: its plugin configuration, and policies from a source.
//!
//! Documents in, compiled policies or refusals out. Uses `policy`, `schema` and `fleet`; does not look at requests. The filter
//! fetches and publishes the documents.

pub mod plugin;
pub mod policy_source;
pub mod signature;
