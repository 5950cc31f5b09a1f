//! The content of a prompt: its text, task, subject, difficulty, language, sensitive parts.
//!
//! Text in, numbers and labels out. This room knows no model, backend or policy; only `classifier/onnx.rs` names tract.

pub mod answer_length;
pub mod classifier;
pub mod language;
pub mod prompt;
pub mod sensitivity;
pub mod steps;
