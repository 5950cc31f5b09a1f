//! Analysis of a prompt: its text and size, task, domain and difficulty, language, sensitive parts.
//!
//! Text in, numbers and labels out. This room reads a parsed request of `api`; it knows no model, backend or policy. Only
//! `classifier/onnx.rs` names tract.

pub mod answer_length;
mod ascii;
mod bloom;
pub mod classifier;
pub mod language;
pub mod prompt;
pub mod sensitivity;
pub mod steps;
