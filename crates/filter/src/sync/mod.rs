//! What the workers share through Envoy's shared data.

pub mod budget_sync;
pub mod policy_cache;
pub mod policy_store;
pub mod poller;
pub mod prewarmer;
pub mod shared_data;
pub mod state_makers;
pub mod stats_sync;
