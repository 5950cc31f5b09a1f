//! State that workers learn and share: statistics of backends, budgets, shares, scale to zero, owners of provider state.
//!
//! Each worker keeps its own and merges it with records that all workers share; the filter reads and writes these. Records
//! are bounded, so nothing grows with traffic. No choice is made here.

pub mod backend_stats;
pub mod budgets;
mod codec;
pub mod makers;
pub mod scale_to_zero;
pub mod shares;
mod sorted_map;

/// The most backends that are followed.
pub const MAX_BACKENDS: usize = 1000;
