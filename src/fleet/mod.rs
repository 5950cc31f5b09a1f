//! The fleet: models with their abilities, the backends that serve them, prices, latencies, accelerators, clusters.
//!
//! Data and look-ups. No choice is made here, and nothing that is observed is kept here.

pub mod ability;
mod backend;
pub mod clusters;
mod estimate;
mod model;
pub mod ramp;
mod registry;

pub use ability::Ability;
pub use backend::{
    Accelerator, Backend, ClientHeaders, Credentials, Endpoint, Latency, Prewarm, Price,
    ScaleToZero, StateScope, Timeouts,
};
pub use estimate::Estimate;
pub use model::{AnswerBound, Model};
pub use registry::{BackendId, ModelId, Registry};
