//! State that workers learn and share: statistics of backends, budgets, shares of models, scale to zero, makers of provider
//! state, receipts of decisions and their outcomes, answers of the judge.
//!
//! Each worker keeps its own state and merges it with records that all workers share. A record is bytes here: `crates/filter`
//! reads it from the host and writes it back by compare-and-swap. All records have the form of [`codec`], and all state is
//! bounded, so nothing grows with traffic. The room uses `fleet` and what is below it; it makes no choice, reads no clock, and
//! knows no request.

pub mod backend_stats;
pub mod budgets;
pub mod claims;
mod codec;
pub mod judge;
pub mod learned_quality;
pub mod makers;
pub mod outcome;
pub mod receipt;
pub mod scale_to_zero;
pub mod shares;
mod sorted_map;

/// The most backends that are followed.
pub const MAX_BACKENDS: usize = 1000;
