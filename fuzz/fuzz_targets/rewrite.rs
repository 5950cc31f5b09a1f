//! Rewriting any body to any name (the bytes up to the first zero): `cargo +nightly fuzz run rewrite corpus/request`.

#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == 0);
    let (name, body) = data.split_at(end.map_or(0, |end| end + 1));
    let name = String::from_utf8_lossy(name);
    properties::check_rewriting(body, name.trim_end_matches('\0'));
});
