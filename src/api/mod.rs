//! Wire formats of LLM APIs, both ways.
//!
//! | file | does |
//! |---|---|
//! | [`path`] | recognises an API by a request's path |
//! | [`request`] | reads a request's body |
//! | [`edit`] | edits of a body: spans and their replacements |
//! | [`rewrite`] | replaces the model in a body and asks for usage, byte for byte otherwise |
//! | [`provider_state`] | finds and removes state that only one provider can read |
//! | [`usage`] | reads tokens, finish reasons and errors from an answer as it streams |
//! | [`error_body`] | writes errors in the API's format |
//! | [`feedback`] | reads the body of `POST /v1/feedback` |
//! | [`judge`] | writes the question to a judge and reads its grade |
//! | [`held_text`] | the start of a text, kept for a moment |
//!
//! Bytes in, values out. This room uses `schema`, `fnv` and serde_json; it knows no model, backend or policy.

mod apis;
mod capabilities;
pub mod edit;
pub mod error_body;
pub mod feedback;
pub mod held_text;
pub(crate) mod json;
pub mod judge;
pub mod path;
pub mod provider_state;
pub mod request;
pub mod rewrite;
pub mod usage;

pub use apis::{Api, Apis};
pub use capabilities::Capabilities;
