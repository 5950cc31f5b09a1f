//! State that workers share through Envoy's shared data: policies, statistics, budgets, makers of state, grades of judges, turns.
//!
//! Every VM of a plugin configuration (trial, main thread, workers) has its own memory; shared data is all that they have in
//! common. This folder holds keys, records and timing. What stands in a record and what it means is the core's.

pub mod budget_sync;
pub mod claims;
pub mod judge_cache;
pub mod learning_sync;
pub mod policy_cache;
pub mod policy_store;
pub mod poller;
pub mod prewarmer;
pub mod shared_data;
pub mod state_makers;
pub mod stats_sync;
