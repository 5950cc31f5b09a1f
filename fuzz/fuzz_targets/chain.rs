//! Looking for chains that do not survive being read and written: `cargo +nightly fuzz run chain corpus/chain`.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| readers::check_chain(data));
