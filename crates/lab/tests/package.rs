//! `pointsman-lab package oci`: the layout is read back as a registry's client reads it, every digest and size checked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A module without anything in it, and something behind it that does not compress to nothing.
fn module() -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.extend((0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()));
    bytes
}

fn package(directory: &Path, module: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman-lab"))
        .args(["package", "oci"])
        .arg(directory)
        .arg("--module")
        .arg(module)
        .args(more)
        .output()
        .unwrap()
}

fn packed(more: &[&str]) -> (tempfile::TempDir, Output) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("module.wasm");
    fs::write(&file, module()).unwrap();
    let output = package(&directory.path().join("oci"), &file, more);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    (directory, output)
}

/// The bytes that a descriptor names: they are there, as long as it says, and of that digest.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let name = digest.strip_prefix("sha256:").unwrap();
    let bytes = fs::read(layout.join("blobs/sha256").join(name)).unwrap();
    assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
    let hex: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, name);
    bytes
}

fn json_blob(layout: &Path, descriptor: &Value) -> Value {
    serde_json::from_slice(&blob(layout, descriptor)).unwrap()
}

/// The image that a tag names: its manifest and its configuration.
fn image(layout: &Path, tag: &str) -> (Value, Value) {
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(layout.join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = read("index.json");
    assert_eq!(index["schemaVersion"], 2);
    let [entry] = index["manifests"].as_array().unwrap().as_slice() else {
        panic!("{index}");
    };
    assert_eq!(
        entry["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        tag
    );
    let manifest = json_blob(layout, entry);
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.image.config.v1+json"
    );
    let config = json_blob(layout, &manifest["config"]);
    (manifest, config)
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

#[test]
fn an_image_has_the_module_as_plugin_wasm() {
    let (directory, output) = packed(&["--tag", "test", "--platform", "linux/arm64"]);
    let layout = directory.path().join("oci");
    let (manifest, config) = image(&layout, "test");
    let [layer] = manifest["layers"].as_array().unwrap().as_slice() else {
        panic!("{manifest}");
    };
    assert_eq!(
        layer["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    let mut unpacked = Vec::new();
    GzDecoder::new(blob(&layout, layer).as_slice())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"],
        serde_json::json!([digest(&unpacked)])
    );
    assert_eq!(
        (&config["os"], &config["architecture"]),
        (&"linux".into(), &"arm64".into())
    );

    let mut archive = tar::Archive::new(unpacked.as_slice());
    let files: BTreeMap<String, Vec<u8>> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
        })
        .collect();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["plugin.wasm"]);
    assert!(files["plugin.wasm"] == module());

    // The printed digest is the one to pin.
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(index["manifests"][0]["digest"], printed.trim());
}

#[test]
fn an_artifact_has_the_two_layers_that_istio_asks_for() {
    let (directory, _) = packed(&["--form", "artifact"]);
    let layout = directory.path().join("oci");
    let (manifest, config) = image(&layout, env!("CARGO_PKG_VERSION"));
    let [about, content] = manifest["layers"].as_array().unwrap().as_slice() else {
        panic!("{manifest}");
    };
    assert_eq!(
        about["mediaType"],
        "application/vnd.module.wasm.config.v1+json"
    );
    assert_eq!(json_blob(&layout, about)["type"], "envoy_proxy");
    assert_eq!(
        content["mediaType"],
        "application/vnd.module.wasm.content.layer.v1+wasm"
    );
    assert!(blob(&layout, content) == module());
    let wanted = [digest(&blob(&layout, about)), digest(&module())];
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(wanted));
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_same_module_gives_the_same_bytes_also_over_an_older_layout() {
    for form in ["image", "artifact"] {
        let (first, _) = packed(&["--form", form]);
        let (second, _) = packed(&["--form", if form == "image" { "artifact" } else { "image" }]);
        let file = second.path().join("module.wasm");
        let again = package(&second.path().join("oci"), &file, &["--form", form]);
        assert!(again.status.success());
        assert!(
            files(&first.path().join("oci")) == files(&second.path().join("oci")),
            "{form}"
        );
    }
}

#[test]
fn what_is_no_module_and_folders_of_others_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("module.wasm");
    let stderr = |output: Output| {
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    fs::write(&file, "no module").unwrap();
    let reported = stderr(package(&directory.path().join("oci"), &file, &[]));
    assert!(
        reported.ends_with("is not a WebAssembly module\n"),
        "{reported}"
    );
    fs::write(&file, module()).unwrap();
    let reported = stderr(package(directory.path(), &file, &[]));
    assert!(reported.contains("holds other things"), "{reported}");
    assert!(file.exists());
    let reported = stderr(package(
        &directory.path().join("oci"),
        &file,
        &["--platform", "wasm"],
    ));
    assert_eq!(
        reported,
        "error: `wasm` is not a platform, such as `linux/amd64`\n"
    );
}
