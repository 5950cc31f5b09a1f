//! Message authentication codes of receipts: HMAC-SHA-512 (RFC 2104), its first 128 bits.
//!
//! SHA-512 because the module has it already, for signatures of policies. Keys are arguments; where they come from is the
//! host's business.

use std::fmt;

use ed25519_compact::sha512::Hash;

/// Bytes of a code.
pub const MAC_BYTES: usize = 16;

/// The fewest bytes of a key. A shorter one could be guessed.
pub const MIN_KEY_BYTES: usize = 16;

/// The most keys that are valid at a time: the one that signs, and the one before it.
pub const MAX_KEYS: usize = 2;

/// Bytes of a block of SHA-512.
const BLOCK: usize = 128;

/// A key, prepared: the states of both hashes after its block.
#[derive(Clone)]
pub struct Key {
    inner: Hash,
    outer: Hash,
    hint: u8,
}

impl fmt::Debug for Key {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key with these secret bytes; `None` if they are fewer than [`MIN_KEY_BYTES`].
    pub fn new(secret: &[u8]) -> Option<Key> {
        if secret.len() < MIN_KEY_BYTES {
            return None;
        }
        let mut block = [0_u8; BLOCK];
        if secret.len() > BLOCK {
            fill(&mut block, &Hash::hash(secret));
        } else {
            fill(&mut block, secret);
        }
        let begun = |pad: u8| {
            let mut hash = Hash::new();
            hash.update(block.map(|byte| byte ^ pad));
            hash
        };
        let mut key = Key {
            inner: begun(0x36),
            outer: begun(0x5c),
            hint: 0,
        };
        let [hint, ..] = key.mac(b"pointsman receipt key");
        key.hint = hint;
        Some(key)
    }

    /// A byte that tells keys apart, one in 256 times wrongly. It stands in receipts and says nothing about the key.
    pub const fn hint(&self) -> u8 {
        self.hint
    }

    /// The code of `message`.
    pub fn mac(&self, message: &[u8]) -> [u8; MAC_BYTES] {
        let mut inner = self.inner;
        inner.update(message);
        let mut outer = self.outer;
        outer.update(inner.finalize());
        let mut mac = [0; MAC_BYTES];
        fill(&mut mac, &outer.finalize());
        mac
    }

    /// Whether `mac` is the code of `message`. Takes as long whatever differs.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        let own = self.mac(message);
        let pairs = own.iter().zip(mac);
        let differing = pairs.fold(0, |bits, (left, right)| bits | (left ^ right));
        mac.len() == MAC_BYTES && differing == 0
    }
}

/// Copies the start of `from` into the start of `into`.
fn fill(into: &mut [u8], from: &[u8]) {
    for (slot, byte) in into.iter_mut().zip(from) {
        *slot = *byte;
    }
}

/// The keys of receipts: the first signs, each verifies. None means that no receipt is made and none is taken.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// No key.
    pub const NONE: Keys = Keys(Vec::new());

    /// The keys with these secrets, at most [`MAX_KEYS`]; those that are too short are left out.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Keys {
        Keys(
            secrets
                .into_iter()
                .filter_map(Key::new)
                .take(MAX_KEYS)
                .collect(),
        )
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that signs; `None` if there is none.
    pub fn signing(&self) -> Option<&Key> {
        self.0.first()
    }

    /// Whether one of the keys with this hint gives `mac` for `message`.
    pub fn verify(&self, hint: u8, message: &[u8], mac: &[u8]) -> bool {
        let mut hinted = self.0.iter().filter(|key| key.hint == hint);
        hinted.any(|key| key.verify(message, mac))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Test cases 1, 3, 6 and 7 of RFC 4231, cut to 128 bits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (key, message, mac) in [
            (
                vec![0x0b; 20],
                &b"Hi There"[..],
                "87aa7cdea5ef619d4ff0b4241a1d6cb0",
            ),
            (
                vec![0xaa; 20],
                &[0xdd; 50],
                "fa73b0089d56a284efb0f0756c890be9",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "80b24263c7c1a3ebb71493c1dd7be8b4",
            ),
            (
                vec![0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
                "e37b6a775dc87dbaa4dfa9f96e5e3ffd",
            ),
        ] {
            let key = Key::new(&key).unwrap();
            assert_eq!(hex(&key.mac(message)), mac);
            assert!(key.verify(message, &key.mac(message)));
        }
    }

    #[test]
    fn a_code_verifies_under_its_own_key_only() {
        let keys = Keys::new([&b"the key that signs now"[..], b"the key of last month."]);
        let (new, old) = (keys.signing().unwrap(), keys.0.last().unwrap());
        for key in [new, old] {
            assert!(keys.verify(key.hint(), b"m", &key.mac(b"m")));
            assert!(!keys.verify(key.hint(), b"n", &key.mac(b"m")));
            assert!(!keys.verify(key.hint(), b"m", &key.mac(b"m")[1..]));
            assert!(!keys.verify(key.hint(), b"m", &[]));
        }
        assert!(!keys.verify(new.hint(), b"m", &old.mac(b"m")));
        assert!(!Keys::NONE.verify(new.hint(), b"m", &new.mac(b"m")));
    }

    #[test]
    fn short_keys_are_none_and_more_than_two_are_not_kept() {
        assert!(Key::new(b"fifteen bytes..").is_none());
        assert!(Keys::new([&b"short"[..]]).is_empty());
        let keys = Keys::new([&[1; 16][..], &[2; 16], &[3; 16]]);
        assert_eq!(keys.0.len(), MAX_KEYS);
        assert_eq!(format!("{keys:?}"), "Keys([Key, Key])");
    }
}
