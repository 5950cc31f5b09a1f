//! Looking for bytes that a shared record must not hold: `cargo +nightly fuzz run records corpus/records`.

#![no_main]

#[path = "../readers.rs"]
mod readers;

use std::sync::LazyLock;

use pointsman::fleet::Registry;

static REGISTRY: LazyLock<Registry> = LazyLock::new(readers::registry);

libfuzzer_sys::fuzz_target!(|data: &[u8]| readers::check_records(&REGISTRY, data));
