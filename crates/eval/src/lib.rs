//! How well the router does on outcomes of real models: outcome files, measures, strategies, reports.
//!
//! The filter's own classifier and selector run over outcome files; the reports hold quality against cost, the share of the gap
//! recovered between two models, and calibration. `pointsman eval` and `pointsman calibrate` are thin commands on it. It
//! trains nothing and changes no policy. The meaning of each figure: docs/eval.md.

pub mod benchmarks;
pub mod concordance;
pub mod error;
mod figures;
pub mod file;
pub mod fit;
pub mod fleet;
pub mod floor;
mod format;
mod gaps;
pub mod grades;
pub mod html;
pub mod judge;
pub mod judge_fit;
pub mod learner;
pub mod learning_curve;
pub mod measure;
pub mod models;
pub mod others;
pub mod outcomes;
pub mod overall;
pub mod pairing;
mod pooling;
pub mod progress;
pub mod quantile;
pub mod rated;
pub mod replay;
pub mod report_json;
pub mod report_text;
pub mod scored;
pub mod stream;
mod svg;
pub mod sweep;
pub mod table;
mod tables;
