//! `pointsman-lab package oci`: the module as an OCI image layout, which any tool that copies images pushes to a registry.
//!
//! Two forms. An image has one layer, a tar with `plugin.wasm`: Istio and Envoy Gateway take it out, and Kubernetes mounts
//! it as a volume. An artifact has the module itself as a layer, and the layer that both ask for in addition. One module always
//! gives the same bytes, on any machine and at any time. It pushes nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use pointsman_cli::failure::Failure;

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256";

const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
const WASM_CONTENT: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// When everything was made: never, so that the bytes are the same each time.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// Arguments of `pointsman-lab package`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// An OCI image layout, to be pushed to a registry
    Oci(OciArgs),
}

#[derive(Debug, clap::Args)]
struct OciArgs {
    /// Where the layout is written: a folder that is new, empty, or such a layout already
    directory: PathBuf,
    /// The module
    #[arg(long, value_name = "FILE", default_value = "target/pointsman.wasm")]
    module: PathBuf,
    /// How the module is packed
    #[arg(long, value_enum, default_value = "image")]
    form: Form,
    /// The tag by which the image is called in the layout
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// The machines that an image is for; the module is the same for all
    #[arg(long, value_name = "OS/ARCHITECTURE", default_value = "linux/amd64")]
    platform: String,
}

/// How the module is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One layer with the file plugin.wasm: a registry, Istio, Envoy Gateway and image volumes take it
    Image,
    /// The module itself as a layer: what `oras` makes
    Artifact,
}

/// Writes the layout and says what was written.
///
/// # Errors
/// [`Failure::Input`] for a module or folder that cannot be taken; [`Failure::Failed`] if writing fails.
pub fn run(args: &Args) -> Result<(), Failure> {
    let What::Oci(args) = &args.what;
    let module = fs::read(&args.module)
        .map_err(|error| Failure::Input(format!("`{}`: {error}", args.module.display())))?;
    if !module.starts_with(b"\0asm") {
        let name = args.module.display();
        return Err(Failure::Input(format!(
            "`{name}` is not a WebAssembly module"
        )));
    }
    let Some((os, architecture)) = args.platform.split_once('/') else {
        let problem = format!(
            "`{}` is not a platform, such as `linux/amd64`",
            args.platform
        );
        return Err(Failure::Input(problem));
    };
    let mut layout = Layout::begin(&args.directory)?;
    let (layers, contents) = layers(&mut layout, args.form, &module)?;
    let config = json!({
        "created": EPOCH, "architecture": architecture, "os": os, "config": {},
        "rootfs": {"type": "layers", "diff_ids": contents},
    });
    let config = layout.blob(IMAGE_CONFIG, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": layers,
        "annotations": {
            "org.opencontainers.image.created": EPOCH,
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.title": "pointsman",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        },
    });
    let manifest = manifest.to_string();
    let descriptor = layout.blob(IMAGE_MANIFEST, manifest.as_bytes())?;
    let platform = json!({"os": os, "architecture": architecture});
    let tagged = json!({"org.opencontainers.image.ref.name": args.tag});
    let descriptor = with(descriptor, "platform", platform);
    layout.end(&with(descriptor, "annotations", tagged))?;
    let directory = args.directory.display();
    println!("{}", digest(manifest.as_bytes()));
    eprintln!(
        "note: push it by `skopeo copy oci:{directory}:{tag} docker://REGISTRY/pointsman:{tag}`",
        tag = args.tag
    );
    Ok(())
}

/// Writes the layers, and gives their descriptors and the digests of what is in them unpacked.
fn layers(
    layout: &mut Layout<'_>,
    form: Form,
    module: &[u8],
) -> Result<(Vec<Value>, Vec<String>), Failure> {
    Ok(match form {
        Form::Image => {
            let tar = tar_of(module).map_err(failed)?;
            let layer = layout.blob(IMAGE_LAYER, &gzip(&tar).map_err(failed)?)?;
            (vec![layer], vec![digest(&tar)])
        }
        Form::Artifact => {
            let about = json!({"type": "envoy_proxy", "abiVersions": ["v0-2-1"], "config": {"rootIds": ["pointsman"]}});
            let about = about.to_string();
            let config = layout.blob(WASM_CONFIG, about.as_bytes())?;
            let content = layout.blob(WASM_CONTENT, module)?;
            let contents = vec![digest(about.as_bytes()), digest(module)];
            (
                vec![
                    named(config, "runtime-config.json"),
                    named(content, "plugin.wasm"),
                ],
                contents,
            )
        }
    })
}

fn failed(error: std::io::Error) -> Failure {
    Failure::Failed(format!("cannot pack the module: {error}"))
}

/// A descriptor with one more field.
fn with(mut descriptor: Value, name: &str, value: Value) -> Value {
    if let Some(fields) = descriptor.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
    descriptor
}

fn named(descriptor: Value, title: &str) -> Value {
    let title = json!({"org.opencontainers.image.title": title});
    with(descriptor, "annotations", title)
}

fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn tar_of(module: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(tar::EntryType::Regular);
    let mut builder = tar::Builder::new(Vec::with_capacity(module.len() + 2048));
    builder.append_data(&mut header, "plugin.wasm", module)?;
    builder.into_inner()
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    // 255: the operating system is not stated.
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// A layout that is being written.
struct Layout<'d> {
    directory: &'d Path,
}

impl<'d> Layout<'d> {
    /// Makes an empty layout of `directory`; one that is there already is replaced, anything else is left alone.
    fn begin(directory: &'d Path) -> Result<Layout<'d>, Failure> {
        let layout = Layout { directory };
        let found = fs::read_dir(directory).into_iter().flatten().flatten();
        let names: Vec<_> = found.map(|entry| entry.file_name()).collect();
        let is_layout = names.iter().any(|name| name == LAYOUT);
        let only_ours = names
            .iter()
            .all(|name| [LAYOUT, INDEX, "blobs"].iter().any(|ours| name == ours));
        let is_free = names.is_empty() || (is_layout && only_ours);
        if !is_free {
            let name = directory.display();
            let problem = format!(
                "`{name}` holds other things than an OCI image layout: name another folder"
            );
            return Err(Failure::Input(problem));
        }
        if is_layout {
            let _ = fs::remove_file(directory.join(INDEX));
            let _ = fs::remove_dir_all(directory.join("blobs"));
        }
        fs::create_dir_all(directory.join(BLOBS))
            .map_err(|error| Failure::Failed(format!("`{}`: {error}", directory.display())))?;
        Ok(layout)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let file = self.directory.join(path);
        fs::write(&file, bytes)
            .map_err(|error| Failure::Failed(format!("`{}`: {error}", file.display())))
    }

    /// Writes a blob and gives its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Result<Value, Failure> {
        let digest = digest(bytes);
        let name = digest.trim_start_matches("sha256:");
        self.write(&format!("{BLOBS}/{name}"), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    /// Writes what makes a layout of the blobs.
    fn end(&self, manifest: &Value) -> Result<(), Failure> {
        let index = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [manifest]});
        self.write(INDEX, index.to_string().as_bytes())?;
        self.write(LAYOUT, br#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}
