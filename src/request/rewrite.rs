//! Replaces the value of `model` in a body, leaving every other byte as it was.

use super::Request;

/// A change to the start of a body: its first `replace` bytes become `with`; the rest stays as it is.
///
/// Envoy can replace a prefix of a held body but nothing in its middle, hence this form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixEdit {
    /// How many bytes of the original body are replaced.
    pub replace: usize,
    /// What stands there instead.
    pub with: Vec<u8>,
}

impl PrefixEdit {
    /// By how many bytes the body grows (negative: shrinks).
    pub fn growth(&self) -> i64 {
        self.with.len() as i64 - self.replace as i64
    }
}

/// The edit that makes `model` the model of `body`, or `None` where it already is or where no edit is possible.
pub fn set_model(body: &[u8], request: &Request<'_>, model: &str) -> Option<PrefixEdit> {
    let _ = (body, request, model);
    None
}
