//! Looking for texts that are wrongly taken for receipts, or for feedback: `cargo +nightly fuzz run receipt corpus/receipt`.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| readers::check_receipt(data));
