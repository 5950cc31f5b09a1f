//! Compares the imports of a module with the functions that Envoy has.

use std::path::Path;

use wasmparser::{Parser, Payload, TypeRef};

/// The WASI functions of Envoy 1.36 to 1.38; later ones have more. `tools/check_module.py` has the same list.
const WASI: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_open",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// The findings on a module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Imports of WASI that Envoy before 1.39 does not have.
    pub too_new: Vec<String>,
    /// Whether it says by an export which ABI it is of, and that is the one that is supported.
    pub has_abi: bool,
}

/// Reads the module at `path`.
///
/// # Errors
/// The problem of the file, as a line.
pub fn read(path: &Path) -> Result<ModuleInfo, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut info = ModuleInfo::default();
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(|error| error.to_string())?;
                    let is_wasi = import.module == "wasi_snapshot_preview1";
                    let is_function = matches!(import.ty, TypeRef::Func(_));
                    if is_wasi && is_function && !WASI.contains(&import.name) {
                        info.too_new.push(import.name.to_owned());
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(|error| error.to_string())?;
                    let name = export.name;
                    info.has_abi |=
                        ["proxy_abi_version_0_2_0", "proxy_abi_version_0_2_1"].contains(&name);
                }
            }
            _ => {}
        }
    }
    Ok(info)
}
