//! Checks that generated pages are the ones that are written down.

use std::path::Path;

/// Fails unless the repository's file at `path` is `generated`; with `POINTSMAN_BLESS` set, writes it instead.
pub(crate) fn assert_written(path: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("POINTSMAN_BLESS").is_some() {
        assert!(
            std::fs::write(&file, generated).is_ok(),
            "cannot write {path}"
        );
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == generated,
        "{path} is out of date: run `POINTSMAN_BLESS=1 cargo test --lib reference`"
    );
}
