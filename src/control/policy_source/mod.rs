//! Policies from an HTTP source: when to ask for one (`poll`), and whether to accept the response ([`evaluate`]).
//!
//! Pure: the clock, the policy in force and the response are arguments; the filter asks, stores and publishes. The signature
//! is verified first, so that nothing of a stranger's document is ever parsed.

mod bounds;
pub mod poll;
mod refusal;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use bounds::Bounds;
pub use refusal::Refusal;

use crate::control::signature::{self, PublicKey};
use crate::fnv;
use crate::policy::Policy;
use crate::policy::revision::may_follow;

/// The response header with the signature of the body; see [`signature::verify`].
pub const SIGNATURE_HEADER: &str = "x-pointsman-signature";

/// The compiled `policy_source` of the plugin configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The Envoy cluster that is asked.
    pub cluster: String,
    /// Path and query of the document.
    pub path: String,
    /// The host that the request names.
    pub authority: String,
    /// Milliseconds from one response to the next request.
    pub interval_ms: u32,
    /// Milliseconds that a response may take.
    pub timeout_ms: u32,
    /// The longest accepted document, in bytes.
    pub max_bytes: usize,
    /// The keys that may sign; if there are none, documents need no signature.
    pub public_keys: Vec<PublicKey>,
}

/// A response of the source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The HTTP status. A source that cannot be reached in time shows as 500 or more.
    pub status: u16,
    /// The header [`SIGNATURE_HEADER`].
    pub signature: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}

/// The verdict on a response.
#[derive(Debug)]
pub enum Verdict {
    /// The source has the policy in force.
    Unchanged,
    /// This policy takes effect.
    Accepted(Box<Policy>),
    /// The policy in force stays.
    Refused(Refusal),
}

/// The text and the revision of the policy in force.
#[derive(Debug, Clone, Copy)]
pub struct InForce<'a> {
    /// The document, byte for byte.
    pub text: &'a [u8],
    /// The revision.
    pub revision: Option<u64>,
}

/// Evaluates a response. Requests can be sent only within `bounds`, whatever a document says.
pub fn evaluate(
    source: &Source,
    bounds: &Bounds,
    in_force: InForce<'_>,
    answer: Answer<'_>,
) -> Verdict {
    match answer.status {
        200 => {}
        304 => return Verdict::Unchanged,
        status => return Verdict::Refused(Refusal::Status(status)),
    }
    match take(source, bounds, in_force, answer) {
        Ok(None) => Verdict::Unchanged,
        Ok(Some(policy)) => Verdict::Accepted(Box::new(policy)),
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn take(
    source: &Source,
    bounds: &Bounds,
    in_force: InForce<'_>,
    answer: Answer<'_>,
) -> Result<Option<Policy>, Refusal> {
    check_size(source, answer.body.len())?;
    if !source.public_keys.is_empty() {
        signature::verify(answer.body, answer.signature, &source.public_keys)?;
    }
    if answer.body == in_force.text {
        return Ok(None);
    }
    let text = std::str::from_utf8(answer.body).map_err(|_| Refusal::NotUtf8)?;
    let mut policy = Policy::compile(text)?;
    bounds.bind(&mut policy)?;
    may_follow(policy.revision, in_force.revision)?;
    Ok(Some(policy))
}

/// Checks whether a document of `size` bytes may be read.
///
/// # Errors
/// [`Refusal::TooLarge`].
pub fn check_size(source: &Source, size: usize) -> Result<(), Refusal> {
    if size > source.max_bytes {
        return Err(Refusal::TooLarge {
            size,
            most: source.max_bytes,
        });
    }
    Ok(())
}

/// Checks that `policy` names only allowed clusters.
///
/// # Errors
/// [`Refusal::Cluster`] with the first one that is not allowed.
pub fn check_clusters(policy: &Policy, allowed: &[String]) -> Result<(), Refusal> {
    let mut named = policy.called_clusters();
    match named.find(|name| !allowed.iter().any(|allowed| allowed == name)) {
        Some(name) => Err(Refusal::Cluster {
            name: name.to_owned(),
            allowed: allowed.to_vec(),
        }),
        None => Ok(()),
    }
}

/// FNV-1a, 64 bits: tells texts apart. Nothing secret rests on it.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    fnv::hash64(bytes.iter().copied())
}
