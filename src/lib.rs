//! Pointsman's core: everything that decides where an LLM request goes, as a pure library.
//!
//! It knows no host, clock, file, environment or thread: bytes, numbers and time enter as arguments and decisions leave as
//! values, so that the same code runs inside Envoy (`crates/filter`), on the command line (`crates/cli`) and in tests.

// INVARIANT: stands before every module, so that in the test build for Node their `#[test]` is the one from here.
#[cfg(all(test, target_family = "wasm", target_os = "unknown"))]
#[macro_use]
extern crate pointsman_wasmtest;

pub mod ability;
pub mod chain;
pub mod classifier;
pub mod decision;
pub mod explain;
pub mod language;
pub mod live;
pub mod makers;
pub mod plugin;
pub mod policy;
pub mod prewarm;
pub mod prompt;
pub mod ramp;
pub mod registry;
pub mod remote;
pub mod request;
pub mod router;
pub mod select;
pub mod sensitivity;
pub mod shares;
pub mod spending;
pub mod steps;
pub mod stream;
pub mod telemetry;
pub mod usage;
pub mod warmth;
