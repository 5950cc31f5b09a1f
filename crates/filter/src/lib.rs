//! The proxy-wasm module: translates host calls, and nothing else.
