//! Looking for replies of judges that are wrongly taken for grades: `cargo +nightly fuzz run judge corpus/judge`.

#![no_main]

#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| readers::check_judge(data));
