//! Reading any bytes: `cargo +nightly fuzz run request`.

#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|body: &[u8]| properties::check_reading(body));
