//! Drives a real Envoy, simulated backends and odd clients, for the tests and for `pointsman-lab`. Development only.
//!
//! The tests run the shipped parts: the configuration is `envoy/envoy.yaml` with other ports and endpoints, the module is
//! `target/pointsman.wasm`, the backends are simulated in this process. It decides and asserts nothing; that is the tests'.
//! If something is missing on the machine, the error names the command that installs it.

mod acceptor;
pub mod backends;
pub mod child;
pub mod closed_port;
pub mod config;
pub mod envoy;
pub mod files;
pub mod http1;
pub mod http2;
pub mod judge;
pub mod mesh;
pub mod metrics;
pub mod otlp;
pub mod policy_source;
pub mod process;
pub mod prometheus;
