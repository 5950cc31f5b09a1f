//! Drives a real Envoy, simulated backends and odd clients, for the tests and for `pointsman-lab`. Development only.
//!
//! What runs is what is shipped: the configuration is `envoy/envoy.yaml` with other ports and endpoints, the module is
//! `target/pointsman.wasm`, the backends are simulated in this process. It decides and asserts nothing; that is the tests'.
//! What is missing on the machine is an error that names the command which installs it.

pub mod backends;
pub mod child;
pub mod config;
pub mod envoy;
pub mod files;
pub mod http1;
pub mod http2;
pub mod mesh;
pub mod metrics;
pub mod otlp;
pub mod policy_source;
pub mod process;
pub mod prometheus;
