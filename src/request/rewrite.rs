//! Replaces the value of `model` in a body, leaving every other byte as it was.
//!
//! Every top-level `model` is replaced, not only the one that counts for us: which of two a server takes is its own affair,
//! and a client must not get past the decision by writing the key twice or in another case. Nothing else is touched, and
//! the new body is JSON wherever the old one was.

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

/// The edit that makes `model` the model of `body`, which `request` was read from, or `None` where it already is.
///
/// A body without `model` gets one as its first field. Where `request` is not complete and no `model` was seen there is no
/// edit either (`None`): one may follow, and as the last it would undo the edit.
pub fn set_model(body: &[u8], request: &Request<'_>, model: &str) -> Option<PrefixEdit> {
    let value = serde_json::to_vec(model).ok()?;
    let named = request.model.is_some();
    if !named && !request.complete {
        return None;
    }
    let spans = &request.model_spans;
    if named
        && spans
            .iter()
            .all(|span| body.get(span.clone()) == Some(&*value))
    {
        return None;
    }
    let mut with = Vec::new();
    let mut kept = 0;
    if !named {
        kept = after_brace(body)?;
        with.extend_from_slice(body.get(..kept)?);
        with.extend_from_slice(b"\"model\":");
        with.extend_from_slice(&value);
        if !is_empty_object(body.get(kept..)?) {
            with.push(b',');
        }
    }
    let end = spans.last().map_or(kept, |span| span.end);
    with.reserve_exact(end - kept + spans.len() * value.len());
    for span in spans {
        with.extend_from_slice(body.get(kept..span.start)?);
        with.extend_from_slice(&value);
        kept = span.end;
    }
    Some(PrefixEdit {
        replace: kept,
        with,
    })
}

/// Where the document's opening brace ends.
fn after_brace(body: &[u8]) -> Option<usize> {
    body.iter().position(|&byte| byte == b'{').map(|at| at + 1)
}

/// Whether nothing but white space stands before the closing brace.
fn is_empty_object(inside: &[u8]) -> bool {
    inside.trim_ascii_start().first() == Some(&b'}')
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]
mod tests;
