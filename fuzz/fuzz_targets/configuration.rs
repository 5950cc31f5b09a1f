//! Looking for configurations and policies that stop the compiler: `cargo +nightly fuzz run configuration corpus/configuration`.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| readers::check_configuration(data));
