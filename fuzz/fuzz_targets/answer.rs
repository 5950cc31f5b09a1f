//! Looking for answers that are read differently in pieces, or wrongly: `cargo +nightly fuzz run answer corpus/answer`.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| readers::check_answer(data));
