//! Wire formats of LLM APIs, both ways: requests are read and rewritten, answers are scanned for their usage, errors are
//! written in the API's own words.
//!
//! Bytes in, values out. This room knows no model, backend or policy.

mod apis;
mod capabilities;
pub mod error_body;
pub(crate) mod json;
pub mod path;
pub mod provider_state;
pub mod request;
pub mod rewrite;
pub mod usage;

pub use apis::{Api, Apis};
pub use capabilities::Capabilities;
