//! Receipts: a decision as a sealed, self-contained text that goes out with the answer. Feedback comes back with it, to any
//! proxy that has the key, and logs of receipts can be learned from and replayed without a prompt.
//!
//! [`Receipt`] is the content, `codec` its bytes, `mac` the seal. A receipt holds no text of the prompt: names are hashes, and the
//! classification is a few quantised numbers. This room says what a receipt is; `exchange` makes and takes them.

mod codec;
mod mac;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::fmt;

use crate::analysis::classifier::Classification;
use crate::api::{Api, Capabilities};
use crate::base64;
use crate::fleet::{ModelId, Registry};
use crate::fnv;

pub use mac::{Key, Keys, MAC_BYTES, MAX_KEYS, MIN_KEY_BYTES};

/// The length of every receipt, in characters: base64url of the content and its code, without padding.
pub const TEXT_CHARS: usize = (codec::CONTENT_BYTES + MAC_BYTES).div_ceil(3) * 4
    - (3 - (codec::CONTENT_BYTES + MAC_BYTES) % 3) % 3;

/// The length that clients can rely on, in characters.
pub const MAX_TEXT_CHARS: usize = 200;

const _: () = assert!(TEXT_CHARS <= MAX_TEXT_CHARS, "a receipt is too long");

/// One decision and its answer, as a receipt states them.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// [`Policy::fingerprint32`](crate::policy::Policy::fingerprint32) of the policy that decided.
    pub policy: u32,
    /// When the request was decided, in seconds since 1970.
    pub time_s: u32,
    /// A number that no other receipt has.
    pub nonce: u64,
    /// [`name_key`] of the model that answered.
    pub model: u32,
    /// [`name_key`] of the backend that answered.
    pub backend: u32,
    /// [`name_key`] of the best model that could have been chosen besides; `None` if there was none.
    pub runner_up: Option<u32>,
    /// [`name_key`] of the profile that decided.
    pub profile: u32,
    /// The probability, 0 to 1, that the model that answered is right, as the policy that decided has it.
    pub p: f32,
    /// That of the runner-up; 0 without one.
    pub runner_up_p: f32,
    /// The probability, 0 to 1, with which the decision chose as it did: less than 1 where exploration could have chosen
    /// otherwise.
    pub propensity: f32,
    /// Circumstances of the decision.
    pub flags: Flags,
    /// The size and the needs of the request.
    pub request: RequestTraits,
    /// [`name_key`] of the tenant; `None` if the policy does not say who that is.
    pub tenant: Option<u32>,
    /// The fingerprint of the classifier: latent factors of another one mean something else.
    pub classifier: u16,
    /// The classification of the prompt, as exactly as [`Ability::p_correct`](crate::fleet::Ability::p_correct) needs it.
    pub classification: Classification,
}

/// Circumstances of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// The client named the model.
    pub is_pinned: bool,
    /// Exploration chose, not the objective.
    pub is_explored: bool,
    /// The chosen backend failed, and another one answered.
    pub is_fallback: bool,
    /// The answer was streamed.
    pub streams: bool,
    /// The request begins its conversation.
    pub begins: bool,
    /// The judge's grade that counted in the decision, from 0 (hardest) to [`MAX_GRADE`] (easiest); `None` if the classifier alone
    /// decided.
    pub grade: Option<u8>,
}

/// The grade of the easiest prompts in a receipt.
pub const MAX_GRADE: u8 = 15;

/// The size and the needs of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestTraits {
    /// The API it spoke.
    pub api: Api,
    /// The capabilities that its model had to have.
    pub needs: Capabilities,
    /// Estimated tokens of the input.
    pub input_tokens: u32,
    /// Estimated input tokens that share the context window with the answer.
    pub window_tokens: u32,
    /// The client's bound on the answer, in tokens.
    pub max_tokens: Option<u32>,
    /// Answers asked for, at least 1.
    pub choices: u32,
}

/// The key under which a receipt names a model, backend, profile or tenant: a hash of its name, never 0. A name that a policy
/// does not have is found in none of its keys, so what was renamed or removed is recognised as unknown.
pub const fn name_key(name: &str) -> u32 {
    match fnv::hash32(name.as_bytes()) {
        0 => 1,
        key => key,
    }
}

/// The model whose name has this key; `None` if the policy has none.
pub fn find_model(registry: &Registry, key: u32) -> Option<ModelId> {
    let mut models = registry.models.iter();
    let place = models.position(|model| name_key(&model.name) == key)?;
    Some(ModelId(place as u32))
}

/// Why a text is not a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptError {
    /// The text is not one that this module writes.
    Malformed {
        /// Offset of the first wrong character.
        at: usize,
    },
    /// A receipt of another version of the module.
    Version(u8),
    /// No key that is valid here made its code: it is forged, changed, or of a key that was taken out.
    BadMac,
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiptError::Malformed { at } => write!(f, "not a receipt: wrong at character {at}"),
            ReceiptError::Version(version) => {
                write!(f, "a receipt of version {version}, which is not known here")
            }
            ReceiptError::BadMac => {
                f.write_str("the receipt was not signed with a key that is valid here")
            }
        }
    }
}

impl std::error::Error for ReceiptError {}

impl Receipt {
    /// The receipt as a text, signed with `key`.
    pub fn encode(&self, key: &Key) -> String {
        let mut bytes = codec::write(self, key.hint());
        let mac = key.mac(&bytes);
        bytes.extend_from_slice(&mac);
        base64::encode_url(&bytes)
    }

    /// Reads a receipt that one of `keys` signed.
    ///
    /// # Errors
    /// [`ReceiptError`] if the text is no receipt, or none of these keys signed it.
    pub fn decode(text: &str, keys: &Keys) -> Result<Receipt, ReceiptError> {
        let bytes = bytes_of(text)?;
        let (content, mac) = split(&bytes);
        let hint = codec::hint_of(content);
        match hint {
            Some(hint) if keys.verify(hint, content, mac) => read(content),
            _ => Err(ReceiptError::BadMac),
        }
    }

    /// Reads a receipt without looking at its code: for logs that nobody else could write.
    ///
    /// # Errors
    /// [`ReceiptError`] if the text is no receipt.
    pub fn decode_trusted(text: &str) -> Result<Receipt, ReceiptError> {
        read(split(&bytes_of(text)?).0)
    }

    /// The classification of the prompt.
    pub const fn classification(&self) -> &Classification {
        &self.classification
    }

    /// Whether it is older than `max_age_s` seconds. A receipt from the future, as clocks that jump make them, is not.
    pub fn is_older_than(&self, max_age_s: u32, now_ns: u64) -> bool {
        let now_s = now_ns / 1_000_000_000;
        now_s.saturating_sub(u64::from(self.time_s)) > u64::from(max_age_s)
    }
}

/// The bytes of a text with the length and the version of a receipt.
fn bytes_of(text: &str) -> Result<Vec<u8>, ReceiptError> {
    let malformed = |at| ReceiptError::Malformed { at };
    // Versions differ in length: a foreign one is recognised before its length counts.
    let text = text
        .as_bytes()
        .get(..MAX_TEXT_CHARS + 4)
        .unwrap_or(text.as_bytes());
    let bytes = base64::decode_url(text).map_err(malformed)?;
    match bytes.first() {
        Some(&codec::VERSION) | None => {}
        Some(version) => return Err(ReceiptError::Version(*version)),
    }
    match text.len() == TEXT_CHARS && bytes.len() == codec::CONTENT_BYTES + MAC_BYTES {
        true => Ok(bytes),
        false => Err(malformed(text.len().min(TEXT_CHARS))),
    }
}

/// The content and the code.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes
        .split_at_checked(codec::CONTENT_BYTES)
        .unwrap_or_default()
}

fn read(content: &[u8]) -> Result<Receipt, ReceiptError> {
    // Three bytes are four characters.
    codec::read(content).map_err(|at| ReceiptError::Malformed { at: at * 4 / 3 })
}
