//! Secret ed25519 keys in files: PKCS#8 as PEM (RFC 8410), which other tools read and write as well.
//!
//! Whatever goes wrong, a key's bytes are in no message.

use std::io::Write as _;
use std::path::Path;

use ed25519_compact::{KeyPair, Seed};
use pointsman::base64;
use pointsman::control::signature::PublicKey;

use crate::failure::Failure;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// The bytes before the 32 bytes of an ed25519 key.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

/// A key that signs.
pub struct SecretKey {
    seed: [u8; 32],
    pair: KeyPair,
}

impl SecretKey {
    /// A new one.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the system has no random numbers.
    pub fn generate() -> Result<SecretKey, Failure> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| Failure::Failed(format!("no random numbers: {error}")))?;
        Ok(SecretKey::from_seed(seed))
    }

    fn from_seed(seed: [u8; 32]) -> SecretKey {
        let pair = KeyPair::from_seed(Seed::new(seed));
        SecretKey { seed, pair }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot be read or holds no such key.
    pub fn read(path: &Path) -> Result<SecretKey, Failure> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Input(format!("cannot read `{name}`: {error}")))?;
        SecretKey::parse(&text)
            .ok_or_else(|| Failure::Input(format!("`{name}` is not an ed25519 secret key in PEM")))
    }

    fn parse(text: &str) -> Option<SecretKey> {
        let (_, rest) = text.split_once(BEGIN)?;
        let (body, _) = rest.split_once(END)?;
        let body: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let bytes = base64::decode(&body)?;
        let seed = bytes.strip_prefix(&PKCS8)?;
        Some(SecretKey::from_seed(seed.try_into().ok()?))
    }

    /// Writes it to a new file that its owner alone can read.
    ///
    /// # Errors
    /// [`Failure::Input`] if something is there already, or nothing can be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let body = base64::encode(&[&PKCS8[..], &self.seed].concat());
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(path)
            .and_then(|mut file| write!(file, "{BEGIN}\n{body}\n{END}\n"))
            .map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", path.display())))
    }

    /// The public key that verifies its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey::from_bytes(*self.pair.pk)
    }

    /// The signature of exactly these bytes, in base64.
    pub fn sign(&self, document: &[u8]) -> String {
        base64::encode(self.pair.sk.sign(document, None).as_ref())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Made by OpenSSL: `genpkey -algorithm ed25519`, then `pkeyutl -sign -rawin` of `{}` and a line feed.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIG0/KVZtRkJp3RqMXY39FICjeevstcL3m+7PcHm4cYfX\n-----END PRIVATE KEY-----\n";
    const PUBLIC_DER: &str = "MCowBQYDK2VwAyEABs4Kmq2ZqrDYuQT7YXjZAWN2r5kC4nzgVpBj6SA7U6E=";
    const SIGNATURE: &str =
        "Lc/WwCvl5RShJtAn8UmtGgk20g6LX9xQXDmRZIEp1BepkquAmhtdFu4nQIwboMlOslQZ4qo9sywn8xwVH/r8BQ==";

    #[test]
    fn keys_and_signatures_are_those_of_openssl() {
        let key = SecretKey::parse(PEM).unwrap();
        assert_eq!(PublicKey::parse(PUBLIC_DER).unwrap(), key.public());
        assert_eq!(key.sign(b"{}\n"), SIGNATURE);
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let key = SecretKey::generate().unwrap();
        key.write(&path).unwrap();
        assert!(key.write(&path).is_err(), "it was overwritten");
        let read = SecretKey::read(&path).unwrap();
        assert_eq!(read.public(), key.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(&path, "secret that is not a key").unwrap();
        let error = SecretKey::read(&path).err().unwrap().to_string();
        assert!(
            error.ends_with("is not an ed25519 secret key in PEM"),
            "{error}"
        );
    }
}
