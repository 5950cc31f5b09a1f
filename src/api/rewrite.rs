//! Replaces the value of `model` in a body, and asks for the usage of a stream, leaving every other byte as it was.
//!
//! Every top-level `model` is replaced, not only the one that counts for us: which of two a server takes is its own affair,
//! and a client must not get past the decision by writing the key twice or in another case. Nothing else is touched, and
//! the new body is JSON wherever the old one was.

use std::ops::Range;

use crate::api::request::{Request, UsageSlot, answer_bounds};

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

/// A change in the midst of a body: the bytes of `span` become `with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// Which bytes of the original body are replaced.
    pub span: Range<usize>,
    /// What stands there instead.
    pub with: Vec<u8>,
}

/// By how many bytes a body grows by `splices` (negative: shrinks).
pub fn growth(splices: &[Splice]) -> i64 {
    let of_one = |one: &Splice| one.with.len() as i64 - one.span.len() as i64;
    splices.iter().map(of_one).sum()
}

impl PrefixEdit {
    /// The edit that makes all of `splices`, which are in order and apart from each other, in a body that begins with `start`;
    /// `None` where there are none, or one stands further behind.
    pub fn of(start: &[u8], splices: &[Splice]) -> Option<PrefixEdit> {
        let last = splices.last()?;
        let added: usize = splices.iter().map(|one| one.with.len()).sum();
        // Before anything is copied: a body can be long.
        start.get(..last.span.end)?;
        let mut with = Vec::with_capacity(last.span.end + added);
        let mut kept = 0;
        for Splice { span, with: new } in splices {
            with.extend_from_slice(start.get(kept..span.start)?);
            with.extend_from_slice(new);
            kept = span.end;
        }
        Some(PrefixEdit {
            replace: kept,
            with,
        })
    }
}

/// The edit that makes `model` the model of `body`, which `request` was read from, or `None` where it already is.
///
/// A body without `model` gets one as its first field, also if it has a `Model`. Where `request` is not complete and no
/// `model` was seen there is no edit either (`None`): one may follow, and as the last it would undo the edit.
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
    PrefixEdit::of(body, &splices(body, request, model, ask_usage))
}

/// The same as changes of a body that begins with `start`; `request` may know of fields behind that.
pub fn splices(start: &[u8], request: &Request<'_>, model: &str, ask_usage: bool) -> Vec<Splice> {
    let mut splices = Vec::new();
    let Ok(value) = serde_json::to_string(model) else {
        return splices;
    };
    let named = request.has_model;
    if !named && !request.complete {
        return splices;
    }
    let mut first = String::new();
    if !named {
        first.push_str("\"model\":");
        first.push_str(&value);
    }
    if ask_usage && request.complete && !request.include_usage {
        ask(request.usage_slot.as_ref(), &mut first, &mut splices);
    }
    if !first.is_empty() {
        let Some(at) = after_brace(start) else {
            return Vec::new();
        };
        if !is_empty_object(start.get(at..).unwrap_or_default()) {
            first.push(',');
        }
        splices.push(Splice {
            span: at..at,
            with: first.into_bytes(),
        });
    }
    if !named || request.model_values.iter().any(|one| **one != value) {
        splices.extend(request.model_spans.iter().map(|span| Splice {
            span: span.clone(),
            with: value.clone().into_bytes(),
        }));
    }
    splices.sort_by_key(|one| one.span.start);
    splices
}

/// Adds to `splices` what makes every bound of the answer that is more than `most` tokens that many; as far as it stands in
/// `start`, or `request` knows of it behind that.
pub fn cut_down(start: &[u8], request: &Request<'_>, most: u32, splices: &mut Vec<Splice>) {
    let mut bounds = request.written_bounds.clone();
    if let Some(inside) = after_brace(start) {
        for one in answer_bounds::find(start, inside - 1) {
            // One that the end of `start` cuts off is known as a whole.
            if !bounds.iter().any(|all| all.span.start == one.span.start) {
                bounds.push(one);
            }
        }
    }
    let over = bounds
        .into_iter()
        .filter(|one| one.number > f64::from(most));
    splices.extend(over.map(|one| Splice {
        span: one.span,
        with: most.to_string().into_bytes(),
    }));
    splices.sort_by_key(|one| one.span.start);
}

/// Asks for usage: in `first`, which is put before all fields, where there is no `slot`, else in its place.
fn ask(slot: Option<&UsageSlot>, first: &mut String, splices: &mut Vec<Splice>) {
    let (span, with) = match slot {
        None => {
            if !first.is_empty() {
                first.push(',');
            }
            first.push_str("\"stream_options\":{\"include_usage\":true}");
            return;
        }
        Some(UsageSlot::Unknown) => return,
        Some(UsageSlot::NoOptions(null)) => (null.clone(), "{\"include_usage\":true}".to_owned()),
        Some(UsageSlot::Value(value)) => (value.clone(), "true".to_owned()),
        Some(UsageSlot::Inside { at, is_empty }) => {
            let comma = if *is_empty { "" } else { "," };
            (*at..*at, format!("\"include_usage\":true{comma}"))
        }
    };
    let with = with.into_bytes();
    splices.push(Splice { span, with });
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
