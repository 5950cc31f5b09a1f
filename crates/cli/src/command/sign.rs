//! `pointsman keygen` and `pointsman sign`: who may change the policy of a running proxy. And the check of what was signed.

use std::path::{Path, PathBuf};

use pointsman::control::signature::{PublicKey, Unverified, verify};

use crate::failure::Failure;
use crate::io::document::Form;
use crate::io::input;
use crate::io::key::SecretKey;

/// Arguments of `pointsman keygen`.
#[derive(Debug, clap::Args)]
pub struct KeygenArgs {
    /// The file for the secret key, which must not exist yet: PKCS#8 as PEM
    file: PathBuf,
}

/// Makes a key, and prints what goes into `public_keys` of the plugin's configuration.
pub fn keygen(args: &KeygenArgs) -> Result<(), Failure> {
    let key = SecretKey::generate()?;
    key.write(&args.file)?;
    println!("{}", key.public());
    Ok(())
}

/// Arguments of `pointsman sign`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Writes POLICY.sig next to each policy. Exit status: 0 all are signed; 2 bad usage, a policy that does not compile, or a file."
)]
pub struct Args {
    /// The secret key, as `pointsman keygen` writes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Policies as JSON: exactly these bytes are signed, and proxies read no YAML
    #[arg(required = true, value_name = "POLICY")]
    policies: Vec<PathBuf>,
}

/// Signs each policy, if all of them compile.
pub fn run(args: &Args) -> Result<(), Failure> {
    let key = SecretKey::read(&args.key)?;
    for path in &args.policies {
        let (_, document) = input::read_policy_document(path)?;
        if document.form == Form::Yaml {
            let path = path.display();
            return Err(Failure::Input(format!(
                "`{path}` is YAML: proxies read JSON, and what they read is what is signed: `pointsman convert {path} -o FILE.json` first"
            )));
        }
    }
    for path in &args.policies {
        let signature = key.sign(&input::read(path)?);
        let target = signature_path(path);
        std::fs::write(&target, format!("{signature}\n")).map_err(|error| {
            Failure::Input(format!("cannot write `{}`: {error}", target.display()))
        })?;
        println!("{}: signed by {}", target.display(), key.public());
    }
    Ok(())
}

/// The path of the signature of the policy at `path`: its name with `.sig` behind it.
pub fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

/// Reads a key from the command line.
pub fn parse_public_key(text: &str) -> Result<PublicKey, String> {
    PublicKey::parse(text).map_err(|error| error.to_string())
}

/// Whether the policy at `path`, whose bytes are `document`, is signed by one of `keys`.
///
/// # Errors
/// Why it is not; one without a file of signatures is not signed.
pub fn check(path: &Path, document: &[u8], keys: &[PublicKey]) -> Result<(), Unverified> {
    let signature = std::fs::read(signature_path(path)).ok();
    verify(document, signature.as_deref(), keys)
}
