//! Pointsman's core: everything that decides where an LLM request goes, as a pure library.
//!
//! The core knows no host, clock, file, environment or thread: bytes, numbers and time enter as arguments and decisions leave as
//! values, so that the same code runs inside Envoy (`crates/filter`), on the command line (`crates/cli`) and in tests.

// INVARIANT: stands before every module, so that in the test build for Node their `#[test]` is the one from here.
#[cfg(all(test, target_family = "wasm", target_os = "unknown"))]
#[macro_use]
extern crate pointsman_wasmtest;

pub mod analysis;
pub mod api;
pub mod base64;
pub mod control;
pub mod decimal;
pub mod exchange;
pub mod fleet;
pub mod fnv;
pub mod policy;
pub mod routing;
pub mod schema;
pub mod sort;
pub mod state;
pub mod telemetry;
