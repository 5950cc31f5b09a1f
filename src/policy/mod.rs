//! The policy, by which the operator states models, backends and objectives. Three forms: as written (tables of fields), compiled ([`Policy`]), per request.
//!
//! One file or folder per subject: [`models`], backends, [`profiles`], [`rules`], [`traffic`], [`request_attributes`], [`receipts`], [`learning`], [`judge`], scaling. Each
//! holds the subject's fields, their compilation and the warnings about them. `compile` puts the subjects together, `lint`
//! collects the warnings, [`schema_docs`] makes schema and reference, [`resolve`] finds what clients' names mean,
//! [`revision`] orders policies of one author.
//!
//! May use `schema`, `fleet`, `analysis` and the paths and model names of `api`. Decides nothing, counts nothing and calls no
//! host.

mod backends;
mod compile;
mod compiled;
pub mod draw;
pub mod judge;
mod labels;
pub mod learning;
mod lint;
mod models;
mod names;
pub mod pattern;
pub mod profiles;
pub mod receipts;
pub mod request_attributes;
pub mod resolve;
pub mod revision;
pub mod rules;
mod scaling;
pub mod schema_docs;
#[cfg(test)]
mod tests;
pub mod traffic;

pub use crate::schema::{InvalidDocument, Problem};
pub use compile::POLICY;
pub use compiled::{DecisionHeaders, Policy};
pub use traffic::{OnUnknownModel, Undecided, UndecidedReason};
