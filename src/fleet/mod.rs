//! The fleet: models with their abilities, and the backends that serve them with prices, latencies, accelerators, clusters.
//!
//! Data and look-ups, compiled from a policy. This room uses `api` for APIs and capabilities, and `analysis` for what an
//! ability is measured against. It makes no choice and keeps no observation: that is the work of `routing` and `state`.

pub mod ability;
mod backend;
pub mod clusters;
mod model;
pub mod ramp;
mod registry;

pub use ability::Ability;
pub use backend::{
    Accelerator, Backend, BackendId, ClientHeaders, Credentials, Endpoint, Latency, Prewarm, Price,
    ScaleToZero, StateScope, Timeouts,
};
pub use model::{AnswerBound, Estimate, LearnedEstimate, Model, ModelId};
pub use registry::{MOST_FALL, Registry};
