//! The budgets of the design, and the two that the module's file alone decides.

use std::path::Path;

use serde::Serialize;

use pointsman_cli::failure::Failure;

/// Added latency at 1 KB, one connection, milliseconds: median and 99th percentile.
pub const ADDED_1KB_MS: (f64, f64) = (0.10, 0.50);
/// Added 99th percentile at 100 KB, one connection, milliseconds.
pub const ADDED_100KB_P99_MS: f64 = 1.0;
/// Added 99th percentile at 1 MB, one connection, milliseconds.
pub const ADDED_1MB_P99_MS: f64 = 8.0;
/// Least throughput with the filter over throughput without.
pub const THROUGHPUT_RATIO: f64 = 0.80;
/// Resident bytes over bare Envoy with one worker.
pub const RESIDENT: f64 = 100e6;
/// Resident bytes over bare Envoy for each further worker.
pub const RESIDENT_PER_WORKER: f64 = 16e6;
/// Seconds to the first answer.
pub const READY_S: f64 = 2.5;
/// Bytes of the module.
pub const MODULE: f64 = 8e6;
/// Bytes of code in it; `tools/check_module.py` holds the module to it.
pub const CODE: f64 = 1.2e6;

/// Sizes of the module's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Module {
    /// All of it.
    pub bytes: usize,
    /// Its code section.
    pub code_bytes: usize,
}

impl Module {
    /// Reads the sizes.
    ///
    /// # Errors
    /// [`Failure::Input`] if the file cannot be read or is not WebAssembly.
    pub fn read(path: &Path) -> Result<Module, Failure> {
        let bytes = std::fs::read(path).map_err(|error| {
            Failure::Input(format!("cannot read `{}`: {error}", path.display()))
        })?;
        let code_bytes = code_section(&bytes).ok_or_else(|| {
            Failure::Input(format!("`{}` is not a WebAssembly module", path.display()))
        })?;
        Ok(Module {
            bytes: bytes.len(),
            code_bytes,
        })
    }
}

/// Length of section 10; 0 if there is none. `None` if the bytes are not a module.
fn code_section(module: &[u8]) -> Option<usize> {
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0")?;
    while let Some((id, after)) = rest.split_first() {
        let (length, after) = leb128(after)?;
        if *id == 10 {
            return Some(length);
        }
        rest = after.get(length..)?;
    }
    Some(0)
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_section_is_found() {
        let header = b"\0asm\x01\0\0\0";
        let with = |sections: &[u8]| code_section(&[header, sections].concat());
        assert_eq!(with(&[]), Some(0));
        assert_eq!(with(&[1, 2, 0, 0, 10, 0x83, 0x01, 0]), Some(131));
        assert_eq!(with(&[1, 200, 0]), None);
        assert_eq!(code_section(b"ELF"), None);
    }
}
