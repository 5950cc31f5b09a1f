//! Replaces the value of `model` in a body, and asks for the usage of a stream, leaving every other byte as it was.
//!
//! Every top-level `model` is replaced, not only the one that counts for us: which of two a server takes is its own affair,
//! and a client must not get past the decision by writing the key twice or in another case. Nothing else is touched, and
//! the new body is JSON wherever the old one was.

use std::borrow::Cow;
use std::ops::Range;

use super::{Request, UsageSlot};

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
/// A body without `model` gets one as its first field, also if it has a `Model`. Where `request` is not complete and no `model` was seen there is no
/// edit either (`None`): one may follow, and as the last it would undo the edit.
pub fn set_model(body: &[u8], request: &Request<'_>, model: &str) -> Option<PrefixEdit> {
    rewrite(body, request, model, false)
}

/// The same and, with `ask_usage`, sets `stream_options.include_usage`, wherever that stands. It is left as it is where
/// `request` is not complete: it may follow.
pub fn rewrite(
    body: &[u8],
    request: &Request<'_>,
    model: &str,
    ask_usage: bool,
) -> Option<PrefixEdit> {
    let value = serde_json::to_vec(model).ok()?;
    let named = request.has_model;
    if !named && !request.complete {
        return None;
    }
    let mut edits: Vec<(Range<usize>, Cow<'_, [u8]>)> = Vec::new();
    let mut first = Vec::new();
    if !named {
        first.extend_from_slice(b"\"model\":");
        first.extend_from_slice(&value);
    }
    if ask_usage && request.complete && !request.include_usage {
        match &request.usage_slot {
            None => {
                if !first.is_empty() {
                    first.push(b',');
                }
                first.extend_from_slice(b"\"stream_options\":{\"include_usage\":true}");
            }
            Some(UsageSlot::NoOptions(null)) => {
                edits.push((null.clone(), b"{\"include_usage\":true}".into()));
            }
            Some(UsageSlot::Unknown) => {}
            Some(UsageSlot::Value(value)) => edits.push((value.clone(), b"true".into())),
            Some(UsageSlot::Inside { at, is_empty }) => {
                let comma: &[u8] = if *is_empty { b"" } else { b"," };
                let field = [b"\"include_usage\":true", comma].concat();
                edits.push((*at..*at, field.into()));
            }
        }
    }
    if !first.is_empty() {
        let start = after_brace(body)?;
        if !is_empty_object(body.get(start..)?) {
            first.push(b',');
        }
        edits.push((start..start, first.into()));
    }
    let spans = &request.model_spans;
    if !named
        || spans
            .iter()
            .any(|span| body.get(span.clone()) != Some(&*value))
    {
        edits.extend(
            spans
                .iter()
                .map(|span| (span.clone(), Cow::Borrowed(&*value))),
        );
    }
    edits.sort_by_key(|(span, _)| span.start);
    splice(body, &edits)
}

/// The edit that puts what stands beside each span in its place; the spans in order and apart from each other.
fn splice(body: &[u8], edits: &[(Range<usize>, Cow<'_, [u8]>)]) -> Option<PrefixEdit> {
    let (last, _) = edits.last()?;
    let added: usize = edits.iter().map(|(_, new)| new.len()).sum();
    let mut with = Vec::with_capacity(last.end + added);
    let mut kept = 0;
    for (span, new) in edits {
        with.extend_from_slice(body.get(kept..span.start)?);
        with.extend_from_slice(new);
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
