//! Lets the core's own `#[test]` functions run as WebAssembly under Node.
//!
//! Rust's test harness has no way to run on wasm32-unknown-unknown; `wasm_bindgen_test` has, but wants its own attribute on
//! each test. This crate offers that attribute under the name `test`. A crate that says `#[macro_use] extern crate
//! pointsman_wasmtest` in a test build for that target has it shadow the built-in one, so no test is written twice and none
//! can be forgotten. Everywhere else this crate is empty.

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub use wasm_bindgen_test::wasm_bindgen_test as test;
