//! Looking for a text that is slow to scan: `cargo +nightly fuzz run scan corpus/scan`. Short texts are repeated, so that a
//! cost that grows faster than the text shows.

#![no_main]

#[path = "../properties.rs"]
mod properties;

use std::sync::LazyLock;

use pointsman::policy::rules::words::WordMatcher;

static WORDS: LazyLock<WordMatcher> = LazyLock::new(properties::thousand_words);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let text = text.repeat(4096 / text.len().max(1) + 1);
    properties::check_scanning(&WORDS, &text);
});
