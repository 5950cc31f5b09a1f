//! Pointsman's core: everything that decides where an LLM request goes, as a pure library.
//!
//! It knows no host, clock, file, environment or thread: bytes, numbers and time enter as arguments and decisions leave as
//! values, so that the same code runs inside Envoy (`crates/filter`), on the command line (`crates/cli`) and in tests.

pub mod ability;
pub mod classifier;
pub mod decision;
pub mod plugin;
pub mod policy;
pub mod prompt;
pub mod registry;
pub mod request;
pub mod router;
pub mod select;
pub mod stream;
pub mod telemetry;
