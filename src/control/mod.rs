//! The control plane of one filter instance: its plugin configuration, and policies that come from a source.
//!
//! Documents in, compiled policies or refusals out. Fetching and publishing is the filter's.

pub mod plugin;
pub mod policy_source;
pub mod signature;
