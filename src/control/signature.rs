//! Verifies who wrote a policy: ed25519 signatures (RFC 8032) over the exact bytes of the document.
//!
//! The signature is detached, so that the document stays plain JSON and its server needs no knowledge of signatures. The
//! command line signs; this only verifies, handles no secret, and does not look into the document. Keys and signatures are
//! text in base64, with or without padding.

use std::fmt;

use ed25519_compact as ed25519;

use crate::base64;

/// The bytes before the 32 of a key in SubjectPublicKeyInfo (RFC 8410), the form of other tools.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// A key that verifies signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A text that is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPublicKey;

impl fmt::Display for InvalidPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not an ed25519 public key: expected its 32 bytes in base64")
    }
}

impl std::error::Error for InvalidPublicKey {}

impl PublicKey {
    /// Parses a key: base64 of its 32 bytes, or of its SubjectPublicKeyInfo, which is the middle line of a PEM file.
    ///
    /// # Errors
    /// [`InvalidPublicKey`] for anything else.
    pub fn parse(text: &str) -> Result<PublicKey, InvalidPublicKey> {
        let bytes = base64::decode(text.trim_ascii().as_bytes()).ok_or(InvalidPublicKey)?;
        let key = bytes.strip_prefix(&SPKI).unwrap_or(&bytes);
        <[u8; 32]>::try_from(key)
            .map(PublicKey)
            .map_err(|_| InvalidPublicKey)
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> PublicKey {
        PublicKey(bytes)
    }
}

impl fmt::Display for PublicKey {
    /// The form in configurations: base64 of the 32 bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64::encode(&self.0))
    }
}

/// Why a document is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unverified {
    /// The document came without a signature.
    Unsigned,
    /// The signature cannot be parsed.
    Malformed,
    /// No key has signed these bytes.
    Mismatch,
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unverified::Unsigned => "is not signed",
            Unverified::Malformed => "has a signature that is not 64 bytes in base64",
            Unverified::Mismatch => "has a signature that no configured key made",
        })
    }
}

impl std::error::Error for Unverified {}

/// Verifies that one of `keys` has signed exactly `document`. `signature` may hold several, separated by commas, so that keys
/// can be rotated while both are in use.
///
/// # Errors
/// [`Unverified`] with the reason. Without a key nothing verifies.
pub fn verify(
    document: &[u8],
    signature: Option<&[u8]>,
    keys: &[PublicKey],
) -> Result<(), Unverified> {
    /// Each signature costs a curve multiplication per key, and the server of the document chooses their number.
    const MOST: usize = 4;
    let signature = signature.unwrap_or_default().trim_ascii();
    if signature.is_empty() {
        return Err(Unverified::Unsigned);
    }
    let mut worst = Unverified::Mismatch;
    for text in signature.split(|byte| *byte == b',').take(MOST) {
        let decoded = base64::decode(text.trim_ascii());
        let Some(signature) = decoded.and_then(|bytes| ed25519::Signature::from_slice(&bytes).ok())
        else {
            worst = Unverified::Malformed;
            continue;
        };
        let signed_by = |key: &PublicKey| {
            let key = ed25519::PublicKey::new(key.0);
            key.verify(document, &signature).is_ok()
        };
        if keys.iter().any(signed_by) {
            return Ok(());
        }
    }
    Err(worst)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).unwrap() as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    /// RFC 8032, section 7.1: public key, message, signature of TEST 1, 2, 3 and SHA(abc).
    const VECTORS: [(&str, &str, &str); 4] = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ];

    fn vector(index: usize) -> (PublicKey, Vec<u8>, Vec<u8>) {
        let (key, message, signature) = VECTORS[index];
        let key = PublicKey::from_bytes(hex(key).try_into().unwrap());
        (key, hex(message), hex(signature))
    }

    fn check(message: &[u8], signature: &[u8], keys: &[PublicKey]) -> Result<(), Unverified> {
        verify(message, Some(base64::encode(signature).as_bytes()), keys)
    }

    #[test]
    fn the_rfcs_vectors_verify() {
        for index in 0..VECTORS.len() {
            let (key, message, signature) = vector(index);
            assert_eq!(check(&message, &signature, &[key]), Ok(()), "{index}");
            let other = vector((index + 1) % VECTORS.len()).0;
            assert_eq!(check(&message, &signature, &[other, key]), Ok(()));
            assert_eq!(
                check(&message, &signature, &[other]),
                Err(Unverified::Mismatch)
            );
            assert_eq!(check(&message, &signature, &[]), Err(Unverified::Mismatch));
        }
    }

    #[test]
    fn any_change_is_detected() {
        let (key, message, signature) = vector(2);
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert_eq!(
                check(&message, &changed, &[key]),
                Err(Unverified::Mismatch),
                "{at}"
            );
        }
        assert_eq!(
            check(b"\xaf\x83", &signature, &[key]),
            Err(Unverified::Mismatch)
        );
        assert_eq!(
            check(b"\xaf\x82\n", &signature, &[key]),
            Err(Unverified::Mismatch)
        );
    }

    #[test]
    fn signatures_with_a_twin_are_refused() {
        // RFC 8032 requires S below the group's order: S + L would verify as well, and be a second text of one signature.
        let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let (key, message, mut signature) = vector(1);
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert_eq!(
            check(&message, &signature, &[key]),
            Err(Unverified::Mismatch)
        );
        // The neutral element as a key would verify any document.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let neutral = PublicKey::from_bytes(neutral);
        let mut nothing = [0; 64];
        nothing[0] = 1;
        assert_eq!(
            check(b"any", &nothing, &[neutral]),
            Err(Unverified::Mismatch)
        );
    }

    #[test]
    fn each_reason_has_its_text() {
        let (key, message, signature) = vector(1);
        let error = |signature: Option<&[u8]>| verify(&message, signature, &[key]).unwrap_err();
        assert_eq!(error(None).to_string(), "is not signed");
        assert_eq!(error(Some(b" ")), Unverified::Unsigned);
        for text in [&b"?"[..], b"AAAA", b"\xff\xfe", b",,,,,,,,"] {
            assert_eq!(
                error(Some(text)).to_string(),
                "has a signature that is not 64 bytes in base64"
            );
        }
        let wrong = base64::encode(&[0; 64]);
        assert_eq!(
            error(Some(wrong.as_bytes())).to_string(),
            "has a signature that no configured key made"
        );
        let both = [wrong, base64::encode(&signature)].join(", ");
        assert_eq!(verify(&message, Some(both.as_bytes()), &[key]), Ok(()));
    }

    #[test]
    fn keys_are_read_in_both_forms() {
        let (key, ..) = vector(0);
        let plain = key.to_string();
        assert_eq!(plain, "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        assert_eq!(PublicKey::parse(&plain), Ok(key));
        assert_eq!(PublicKey::parse(plain.trim_end_matches('=')), Ok(key));
        let spki = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n";
        assert_eq!(PublicKey::parse(spki), Ok(key));
        for text in [
            "",
            "11qY",
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            "\u{e9}",
        ] {
            assert_eq!(PublicKey::parse(text), Err(InvalidPublicKey), "{text}");
        }
        assert_eq!(
            InvalidPublicKey.to_string(),
            "is not an ed25519 public key: expected its 32 bytes in base64"
        );
    }
}
