//! The schema room: documents that people write, policies and plugin configurations alike. `document` reads them with the place of
//! each value, [`shape`] checks them against tables of fields, `problems` collects what is wrong, `suggest` finds what a
//! misspelt name probably meant, [`schema_docs`] makes JSON Schemas and reference pages from the tables.
//!
//! Every problem is reported, not only the first. This room uses no other room and knows no field of any document.

pub(crate) mod document;
mod problem;
pub(crate) mod problems;
pub(crate) mod schema_docs;
pub mod shape;
pub(crate) mod suggest;
#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) mod testing;

pub use problem::{InvalidDocument, Problem};
